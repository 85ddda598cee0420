"""Emptying a node: no new pods, and those that are there are asked to move.

A cluster may refuse in many ways. Whatever it answers is a reason that the member shows, and no
error: the pool must come to the end of the node's time.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from isthmus.core.nodes import ClusterNode, ClusterPod
from isthmus.errors import IsthmusError, NotFound, Throttled
from isthmus.ports import ClusterNodes

_PATIENCE: Final = timedelta(seconds=40)
"""How long one look waits for answers: a webhook that hangs must not take up the reconcile."""
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How far a node is."""

    pods: int = 0
    """Pods that still have to move; at least one where the cluster does not tell."""
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
    reasons: list[str] = []
    try:
        if not node.unschedulable:
            await nodes.cordon(node.name)
    except NotFound:
        return Drained()
    except IsthmusError as err:
        reasons.append(f"It cannot be cordoned: {err.message}")
    try:
        pods = [pod for pod in await nodes.pods(node.name) if pod.in_the_way]
    except IsthmusError as err:
        return Drained(pods=1, message=f"Its pods cannot be listed: {err.message}")
    try:
        async with asyncio.timeout(_PATIENCE.total_seconds()):
            await _evict(nodes, [pod for pod in pods if not pod.deleting], reasons)
    except TimeoutError:
        reasons.append("Its cluster takes long to answer to evictions.")
    return Drained(pods=len(pods), message=next(iter(reasons), ""))


async def _evict(nodes: ClusterNodes, pods: list[ClusterPod], reasons: list[str]) -> None:
    """Ask each pod to go; add what keeps one. One that is refused holds up no other."""
    free = asyncio.Semaphore(_AT_ONCE)
    busy = False

    async def ask(pod: ClusterPod) -> None:
        nonlocal busy
        if not pod.controller:
            reasons.append(f"{pod.namespace}/{pod.name} has no controller and would be lost.")
            return
        async with free:
            if busy:
                return
            try:
                answer = await nodes.evict(pod)
            except IsthmusError as err:
                busy = busy or isinstance(err, Throttled)
                reasons.append(f"{pod.namespace}/{pod.name}: {err.message}")
                return
        if not answer.accepted:
            reasons.append(f"{pod.namespace}/{pod.name}: {answer.message}")

    await asyncio.gather(*(ask(pod) for pod in pods))
