"""Kubernetes versions: the control plane first, then its pools, one minor at a time.

https://kubernetes.io/releases/version-skew-policy/
"""

import re

from isthmus.errors import InvalidSpec

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
    """
    asked = pool or wanted
    if not asked or not running:
        return asked
    return asked if minor_of(asked) <= minor_of(running) else running.removeprefix("v")
