"""Kubernetes versions: the control plane first, then its pools, one minor at a time.

https://kubernetes.io/releases/version-skew-policy/
"""

import re

from isthmus.errors import InvalidSpec

NODE_SKEW = 3
"""A kubelet may be so many minors older than its API server."""
_VERSION = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?")


def minor_of(version: str) -> tuple[int, int]:
    """Return major and minor of ``v1.36.2`` or ``1.36``.

    Raises:
        InvalidSpec: It is no version.
    """
    found = _VERSION.match(version)
    if found is None:
        raise InvalidSpec(
            f"spec.kubernetesVersion: {version!r} is no version; write it like 1.36.2."
        )
    return int(found[1]), int(found[2])


def number_of(version: str) -> tuple[int, int, int] | None:
    """Return major, minor and patch, to be compared; None for what is no whole version."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2]), int(found[3])) if found and found[3] else None


def check_step(running: str, wanted: str) -> None:
    """Hold a change of version against what Kubernetes allows of its control plane.

    Raises:
        InvalidSpec: It goes back, or skips a minor; the message names the next one.
    """
    if not running or not wanted:
        return
    now, then = minor_of(running), minor_of(wanted)
    if then < now:
        raise InvalidSpec(
            f"spec.kubernetesVersion: the cluster runs {running} and cannot go back to {wanted}."
        )
    if then > (now[0], now[1] + 1):
        raise InvalidSpec(
            f"spec.kubernetesVersion: from {running} go to {now[0]}.{now[1] + 1} first; Kubernetes "
            "is upgraded one minor at a time."
        )


def of_pool(pool: str, wanted: str, running: str) -> str:
    """Return the version that a pool's new nodes get: never newer than the control plane.

    Args:
        pool: What the pool asks for; empty: to follow its cluster.
        wanted: What the cluster asks for.
        running: What its API server says, for example ``v1.36.2``; empty: not known yet.

    Raises:
        InvalidSpec: The pool asks for one so old that Kubernetes does not support its nodes.
    """
    asked = pool or wanted
    if not asked or not running:
        return asked
    now, then = minor_of(running), minor_of(asked)
    oldest = (now[0], max(now[1] - NODE_SKEW, 0))
    if pool and then < oldest:
        raise InvalidSpec(
            f"spec.kubernetesVersion: nodes of {pool} are more than {NODE_SKEW} minor versions "
            f"older than the control plane, which runs {running}; ask for "
            f"{oldest[0]}.{oldest[1]} or newer, or leave it out to follow the cluster."
        )
    return asked if then <= now else running.removeprefix("v")
