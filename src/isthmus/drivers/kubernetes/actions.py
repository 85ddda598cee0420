"""Day-2 actions on workloads: restart and scale, as ``kubectl rollout restart`` and ``scale`` do.

::

    object: {apiVersion: apps/v1, kind: Deployment, namespace: shop, name: web}
    restart: true        # or
    replicas: 3

Only what bears a tag of ours is acted on.
"""

from typing import Final

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.drivers.kubernetes import guards
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.drivers.kubernetes.readiness import readiness
from isthmus.errors import Forbidden, InvalidSpec, NotFound, StackFailed, StateForbids
from isthmus.ports import ActionCall, ActionState

_RESTARTED: Final = "isthmus.dev/restarted-by"
"""Annotation on the pods: the token of the restart, so that a second try is no second restart."""
_RESTARTABLE: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


class Workloads:
    """Implements ``isthmus.ports.Actions``.

    Args:
        kube: The cluster.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def start(self, call: ActionCall) -> ActionState:
        """See ``Actions``."""
        ref = _ref(call.spec)
        live = await self._kube.get(ref)
        if live is None:
            raise NotFound(f"There is no {ref} in the cluster.")
        if not guards.owner_of(live):
            raise Forbidden(f"{ref} does not bear our tag; we do not touch it.")
        await self._kube.merge(ref, _patch(ref, call))
        return ActionState(done=False, handle=str(ref), message="The pods are being renewed.")

    async def poll(self, call: ActionCall, handle: str) -> ActionState:
        """See ``Actions``."""
        ref = _ref(call.spec)
        live = await self._kube.get(ref)
        if live is None:
            raise StackFailed(f"{ref} is gone.")
        found = readiness(live)
        if found.phase is Phase.FAILED:
            raise StackFailed(f"{ref}: {found.message}")
        return ActionState(done=found.phase is Phase.READY, handle=handle, message=found.message)


def _ref(spec: Json) -> Ref:
    given = part(spec, "object")
    for key in ("apiVersion", "kind", "name"):
        if not given.get(key):
            raise InvalidSpec(f"object.{key}: is required.")
    return Ref(
        str(given["apiVersion"]),
        str(given["kind"]),
        str(given.get("namespace") or "default"),
        str(given["name"]),
    )


def _patch(ref: Ref, call: ActionCall) -> Json:
    if call.spec.get("restart"):
        if ref.kind not in _RESTARTABLE:
            raise StateForbids(f"A {ref.kind} cannot be restarted.")
        annotations = {_RESTARTED: call.token}
        return {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    replicas = call.spec.get("replicas")
    if not isinstance(replicas, int) or replicas < 0:
        raise InvalidSpec("Write restart: true, or replicas: a whole number.")
    return {"spec": {"replicas": replicas}}
