"""The upgrade of a running control plane: what to ask its nodes for, and how far they are.

The nodes upgrade themselves, one after the other; we only say which version is wanted, and never
one that Kubernetes would not let them take from where all of them are. Asked again after each look,
so it goes on from whatever is found.

https://kubernetes.io/releases/version-skew-policy/
"""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.core.nodes import ClusterNode
from isthmus.core.planner.versions import NODE_SKEW, minor_of, number_of
from isthmus.errors import InvalidSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """How far it is, and whether its nodes are to be asked."""

    ask: bool = False
    message: str = ""
    """What goes on; empty: nothing does."""
    failed: bool = False
    """A node has said that it cannot; it tries again by itself."""

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do."""
        return not self.message


def next_upgrade(wanted: str, running: str, nodes: Sequence[ClusterNode]) -> Upgrade:
    """Return what is to be done so that the control plane runs a version.

    Args:
        wanted: For example ``1.36.3``; empty: whatever it runs.
        running: What the API server says.
        nodes: All nodes of the cluster.

    Raises:
        InvalidSpec: Kubernetes does not allow the step while some node is where it is.
    """
    bearers = [node for node in nodes if node.control_plane]
    if not wanted or not bearers or number_of(wanted) is None:
        return Upgrade()
    behind = [node for node in bearers if _older(node.version, wanted)]
    ahead = [node for node in bearers if _older(wanted, node.version)]
    if not behind and not ahead and not _older(running, wanted):
        return Upgrade()
    version = f"v{wanted.removeprefix('v')}"
    if not any(node.upgrades_itself for node in bearers):
        return Upgrade(
            message=f"It runs {running} and does not upgrade itself to {version}: its servers were "
            "made by a blueprint, or a revision of it, that cannot do that."
        )
    if ahead:
        raise InvalidSpec(
            f"spec.kubernetesVersion: node {ahead[0].name} runs {ahead[0].version} already and "
            f"cannot go back to {wanted}."
        )
    _check_skew(wanted, nodes)
    done = (
        f"{len(bearers) - len(behind)} of {len(bearers)} nodes of the control plane run {version}"
    )
    for node in behind:
        if node.upgrade_failure.startswith(f"{version}:"):
            return Upgrade(ask=True, failed=True, message=f"{done}. {node.name}: {_cause(node)}")
    return Upgrade(ask=True, message=f"{done}; the others follow one after the other.")


def lowest(running: str, nodes: Sequence[ClusterNode]) -> str:
    """Return the version that the whole control plane has at least.

    While it is upgraded, whoever asks its address may meet a newer API server than the next one.
    """
    versions = [running, *(node.version for node in nodes if node.control_plane)]
    known = [version for version in versions if number_of(version) is not None]
    return min(known, key=lambda version: number_of(version) or (), default=running)


def _check_skew(wanted: str, nodes: Sequence[ClusterNode]) -> None:
    major, minor = minor_of(wanted)
    for node in nodes:
        if number_of(node.version) is None:
            continue
        allowed = minor - (1 if node.control_plane else NODE_SKEW)
        if minor_of(node.version) < (major, allowed):
            raise InvalidSpec(
                f"spec.kubernetesVersion: node {node.name} runs {node.version}; it must have "
                f"{major}.{allowed} before the control plane goes to {wanted}."
            )


def _older(version: str, wanted: str) -> bool:
    has, asked = number_of(version), number_of(wanted)
    return has is not None and asked is not None and has < asked


def _cause(node: ClusterNode) -> str:
    return node.upgrade_failure.partition(":")[2].strip() or "it does not say why"
