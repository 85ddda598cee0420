"""Day-2 actions of the fake cloud: a resource goes from one state to another, or is labelled."""

from collections.abc import Mapping
from datetime import timedelta

from isthmus.drivers.fake.cloud import FakeCloud, FakeResource, Started
from isthmus.errors import NotFound, StackFailed, StateForbids
from isthmus.ports import ActionCall, ActionState


class FakeActions:
    """Implements ``isthmus.ports.Actions``."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def start(self, call: ActionCall) -> ActionState:
        """See ``Actions``."""
        self._cloud.called("start")
        spec = call.spec
        if "label" in spec:
            self._label(spec["id"], spec["label"])
            return ActionState(done=True)
        if call.token not in self._cloud.started:
            resource = self._resource(spec["stack"], spec["resource"])
            allowed = spec.get("requires", [])
            if allowed and resource.state not in allowed:
                raise StateForbids(
                    f"{spec['resource']} is {resource.state}; it must be: {', '.join(allowed)}."
                )
            self._cloud.started[call.token] = Started(
                ends=self._cloud.clock.now() + timedelta(seconds=spec.get("seconds", 0)),
                stack=spec["stack"],
                resource=spec["resource"],
                state=spec.get("set", resource.state),
                result=spec.get("result", {}),
            )
        return self._state(call.token)

    async def poll(self, call: ActionCall, handle: str) -> ActionState:
        """See ``Actions``."""
        self._cloud.called("poll")
        if handle not in self._cloud.started:
            raise StackFailed("The cloud does not know this action any more.")
        return self._state(handle)

    def _label(self, physical_id: str, labels: Mapping[str, str]) -> None:
        """Put labels on a resource; an empty one is taken away."""
        for name in list(self._cloud.stacks):
            there = self._cloud.look(name)
            for resource in there.resources.values() if there is not None else ():
                if resource.physical_id == physical_id:
                    merged = resource.labels | dict(labels)
                    resource.labels = {key: value for key, value in merged.items() if value}
                    return
        raise NotFound(f"There is no resource with the id {physical_id!r}.")

    def _state(self, token: str) -> ActionState:
        started = self._cloud.started[token]
        if self._cloud.clock.now() < started.ends:
            return ActionState(done=False, handle=token, message="The action runs.")
        self._resource(started.stack, started.resource).state = started.state
        return ActionState(done=True, handle=token, result=started.result)

    def _resource(self, stack: str, logical_id: str) -> FakeResource:
        there = self._cloud.look(stack)
        if there is None or logical_id not in there.resources:
            raise NotFound(f"There is no resource {logical_id!r} in stack {stack!r}.")
        return there.resources[logical_id]
