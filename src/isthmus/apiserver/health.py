"""`/livez`, `/readyz` and `/healthz`, each check of theirs alone, and `?verbose`.

Source: https://kubernetes.io/docs/reference/using-api/health-checks/
"""

from isthmus.apiserver.http import Response

PATHS = ("/healthz", "/readyz", "/livez")
BELOW = tuple(f"{path}/" for path in PATHS)
_CHECKS = ("ping", "log", "etcd", "informer-sync", "shutdown")
"""In Kubernetes' words; whoever asks for one of these is told whether the server serves."""


def answer(path: str, query: bytes, *, ready: bool) -> Response:
    """What a probe is told: 200, or 500 while the server stops.

    Args:
        path: What was asked.
        query: Its query; with `verbose` every check is told.
        ready: Whether requests are taken.
    """
    root, _, check = path.strip("/").partition("/")
    if check and check not in _CHECKS:
        return Response(b"404 page not found\n", 404, b"text/plain")
    if not check and (not ready or b"verbose" in query):
        passed = f"{root} check passed" if ready else f"{root} check failed"
        stopping = "" if ready else "[-]shutdown failed: reason withheld\n"
        told = (name for name in _CHECKS if ready or name != "shutdown")
        text = "".join(f"[+]{name} ok\n" for name in told) + stopping + passed + "\n"
    else:
        text = "ok" if ready else "stopping"
    return Response(text.encode(), 200 if ready else 500, b"text/plain")
