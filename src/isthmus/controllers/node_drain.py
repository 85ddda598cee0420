"""Emptying a node: no new pods, and those that are there are asked to move."""

from dataclasses import dataclass

from isthmus.core.nodes import ClusterNode
from isthmus.errors import NotFound
from isthmus.ports import ClusterNodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How far a node is."""

    pods: int = 0
    """Pods that still have to move."""
    message: str = ""
    """What keeps one of them, in the cluster's words."""

    @property
    def empty(self) -> bool:
        """Whether nothing is in the way any more."""
        return not self.pods


async def drain(nodes: ClusterNodes, node: ClusterNode) -> Drained:
    """Take the next step of emptying a node; call it until it is empty.

    A pod that nothing would make anew elsewhere is left until the node's time is up.
    """
    if not node.unschedulable:
        try:
            await nodes.cordon(node.name)
        except NotFound:
            return Drained()
    pods = [pod for pod in await nodes.pods(node.name) if pod.in_the_way]
    reasons: list[str] = []
    for pod in pods:
        if pod.deleting:
            continue
        if not pod.controller:
            reasons.append(f"{pod.namespace}/{pod.name} has no controller and would be lost.")
            continue
        answer = await nodes.evict(pod)
        if not answer.accepted:
            reasons.append(f"{pod.namespace}/{pod.name}: {answer.message}")
    return Drained(pods=len(pods), message=next(iter(reasons), ""))
