"""The upgrade of a cluster's control plane: ask its nodes, and show how far they are."""

from collections.abc import Sequence
from datetime import timedelta

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import ClusterStatus
from isthmus.core.nodes import ClusterNode, ControlPlaneWish
from isthmus.core.planner.upgrades import next_upgrade
from isthmus.ports import ClusterNodes
from isthmus.runtime.outcome import Progress, Waiting, waiting

UPGRADED = "Upgraded"
"""Condition: the control plane runs the version that is asked for."""
_LOOK = timedelta(seconds=10)


async def follow(
    values: Json,
    nodes: ClusterNodes,
    found: Sequence[ClusterNode],
    running: str,
    progress: Progress[ClusterStatus],
) -> Waiting | None:
    """Have the control plane run the version that its blueprint was given; None: it does.

    Args:
        values: Of the blueprint's parameters.
        nodes: The cluster.
        found: Its nodes.
        running: What its API server says.
        progress: Gets the condition.

    Raises:
        InvalidSpec: Kubernetes does not allow that step, or not yet.
    """
    wanted = str(values.get("kubernetesVersion") or "").removeprefix("v")
    step = next_upgrade(wanted, running, found)
    if step.settled:
        progress.note(UPGRADED, holds=True, reason="UpToDate")
        return None
    reason = "UpgradeFailed" if step.failed else "Upgrading" if step.ask else "NotInPlace"
    progress.note(UPGRADED, holds=False, reason=reason, message=step.message)
    if not step.ask:
        return None
    # Not while one is missing: with two down etcd has no majority.
    if all(node.ready for node in found if node.control_plane):
        await nodes.ask_control_plane(
            ControlPlaneWish(
                version=wanted,
                mirror=str(values.get("mirror") or ""),
                mirror_sha256=str(values.get("mirrorSha256") or ""),
            )
        )
    return waiting(step.message, after=_LOOK, reason=reason if step.failed else "Waiting")
