"""The stack engine of the fake cloud."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from isthmus.api.meta import Adopt, Json
from isthmus.api.v1alpha1 import Drift, Phase, StackResource
from isthmus.core.render import substitute
from isthmus.core.stacks import (
    ABSENT,
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    Change,
    Changes,
    NativeStack,
    Observed,
    Owned,
    StackName,
    Verb,
)
from isthmus.drivers.fake.cloud import STACK_TYPE, FakeCloud, FakeResource, FakeStack, Work
from isthmus.errors import (
    AlreadyExists,
    ApprovalRequired,
    Forbidden,
    InvalidSpec,
    NotFound,
    NotYet,
)

_FAILED = ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "DELETE_FAILED")


class FakeEngine:
    """Implements ``isthmus.ports.StackEngine``."""

    def __init__(self, cloud: FakeCloud, installation: str) -> None:
        self._cloud = cloud
        self._installation = installation

    async def preview(self, stack: NativeStack) -> Changes:
        """See ``StackEngine``."""
        self._cloud.called("preview")
        there = self._cloud.look(stack.name)
        changes = _changes(there, _wanted(stack, there), stack.stateful)
        return Changes(changes=tuple(changes), digest=stack.digest)

    async def observe(self, name: StackName) -> Observed:
        """See ``StackEngine``."""
        self._cloud.called("observe")
        stack = self._cloud.look(name)
        if stack is None:
            return ABSENT
        observed = replace(_observed(stack), changeable=self._cloud.changeable)
        if not self._checking(stack):
            return observed
        return replace(observed, native_status="CHECK_IN_PROGRESS", drift=None, checking=True)

    async def apply(self, stack: NativeStack) -> None:
        """See ``StackEngine``."""
        self._cloud.called("apply")
        there = self._cloud.look(stack.name)
        if there is not None:
            if not stack.adopted:
                _check_owner(there, stack)
            if there.work is not None and there.work.digest == stack.digest:
                return
            if there.work is not None and not self._cloud.changeable:
                raise NotYet(f"{stack.name} is still busy: {there.status}.")
            if there.work is None and there.digest == stack.digest:
                return
            if self._checking(there):
                return
        self._start(stack, there)

    async def delete(self, stack: NativeStack) -> None:
        """See ``StackEngine``."""
        self._cloud.called("delete")
        there = self._cloud.look(stack.name)
        if there is None or there.status == "DELETE_IN_PROGRESS":
            return
        if there.tags.get(TAG_UID) != stack.tags.get(TAG_UID):
            raise Forbidden(f"{stack.name} does not bear our tag; it stays.")
        _prepare(there, stack)
        resources = there.resources
        gone = [
            Change(verb=Verb.DELETE, logical_id=key, type=resources[key].type)
            for key in reversed(resources)
        ]
        work = Work("DELETE", self._cloud.ends({}, gone), {}, there.digest, {}, {})
        self._cloud.begin(there, work)

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        """See ``StackEngine``; single resources are imported by making the stack around them."""
        self._cloud.called("adopt")
        there = self._cloud.look(stack.name)
        if there is None:
            if not adopt.resources:
                raise NotFound(f"There is no stack {adopt.external_name!r}.")
            self._start(stack, None)
            return
        owner = there.tags.get(TAG_UID)
        if owner and owner not in (stack.tags.get(TAG_UID), stack.former_owner):
            raise AlreadyExists(f"{stack.name} belongs to another object.")
        there.tags = dict(stack.tags)

    async def check_drift(self, name: StackName) -> None:
        """See ``StackEngine``."""
        self._cloud.called("check_drift")
        stack = self._cloud.look(name)
        if stack is None:
            return
        drifted = tuple(
            f"{logical_id}: {', '.join(_differing(resource))}"
            for logical_id, resource in stack.resources.items()
            if resource.actual != resource.properties
        )
        now = self._cloud.clock.now()
        stack.drift = Drift(checked_at=now, drifted=bool(drifted), resources=drifted)
        stack.checked_until = now + timedelta(seconds=self._cloud.check_seconds)

    async def owned(self) -> tuple[Owned, ...]:
        """See ``StackEngine``."""
        self._cloud.called("owned")
        stacks = [
            (stack.name, stack.id, STACK_TYPE, stack.tags)
            for name in list(self._cloud.stacks)
            if (stack := self._cloud.look(name)) is not None
        ]
        users = [(name, name, "Fake::User", user.tags) for name, user in self._cloud.users.items()]
        return tuple(
            Owned(
                name=name,
                native_id=native_id,
                type=kind,
                uid=tags[TAG_UID],
                namespace=tags.get(TAG_NAMESPACE, ""),
                object_name=tags.get(TAG_NAME, ""),
            )
            for name, native_id, kind, tags in stacks + users
            if tags.get(TAG_UID) and tags.get(TAG_INSTALLATION, "") == self._installation
        )

    async def adoptable(self) -> tuple[Owned, ...]:
        """See ``StackEngine``."""
        self._cloud.called("adoptable")
        found = [self._cloud.look(name) for name in list(self._cloud.stacks)]
        return tuple(
            Owned(name=stack.name, native_id=stack.id, type=STACK_TYPE, uid="")
            for stack in found
            if stack is not None and not stack.tags.get(TAG_UID)
        )

    def _checking(self, stack: FakeStack) -> bool:
        ends = stack.checked_until
        if ends is None or _phase(stack) is not Phase.READY:
            return False
        return ends > self._cloud.clock.now()

    def _start(self, stack: NativeStack, there: FakeStack | None) -> None:
        if there is not None and there.status == "ROLLBACK_COMPLETE":
            del self._cloud.stacks[stack.name]  # It never came to be; only its name is left.
            there = None
        wanted = _wanted(stack, there)
        changes = _changes(there, wanted, stack.stateful)
        lossy = Changes(changes=tuple(changes)).losing_data
        if lossy and not stack.replacement_approved:
            names = ", ".join(f"{c.logical_id} ({c.verb})" for c in lossy)
            raise ApprovalRequired(f"The change would lose the data of: {names}.")
        verb = "UPDATE"
        if there is None:
            verb = "CREATE"
            name = stack.name
            there = FakeStack(name, self._cloud.new_id("stack"), "", dict(stack.tags))
            self._cloud.stacks[name] = there
        there.tags = dict(stack.tags)
        outputs: Json = stack.template.get("outputs", {})
        steps = self._cloud.ends(wanted, changes)
        before = dict(there.resources)
        self._cloud.begin(there, Work(verb, steps, wanted, stack.digest, before, outputs))


def _observed(stack: FakeStack) -> Observed:
    return Observed(
        phase=_phase(stack),
        native_status=stack.status,
        native_id=stack.id,
        digest=stack.work.digest if stack.work is not None else stack.digest,
        owner_uid=stack.tags.get(TAG_UID, ""),
        owner_namespace=stack.tags.get(TAG_NAMESPACE, ""),
        owner_installation=stack.tags.get(TAG_INSTALLATION, ""),
        outputs=dict(stack.outputs),
        resources=tuple(
            StackResource(
                logical_id=logical_id,
                type=resource.type,
                physical_id=resource.physical_id,
                status=resource.status,
            )
            for logical_id, resource in stack.resources.items()
        ),
        events=tuple(stack.events),
        message=stack.message,
        blockers=stack.blockers,
        drift=stack.drift,
    )


def _phase(stack: FakeStack) -> Phase:
    if stack.work is not None:
        return Phase.WORKING
    return Phase.FAILED if stack.status in _FAILED else Phase.READY


def _check_owner(there: FakeStack, stack: NativeStack) -> None:
    if there.tags.get(TAG_UID) != stack.tags.get(TAG_UID):
        raise AlreadyExists(f"There is a stack {stack.name!r} that is not ours.")


def _prepare(there: FakeStack, stack: NativeStack) -> None:
    """Take the pre-delete steps."""
    scope = {f"outputs.{key}": value for key, value in there.outputs.items()}
    for step in cast("tuple[Json, ...]", substitute(stack.pre_delete, scope)):
        if step.get("step") != "unblock":
            raise InvalidSpec(f"spec.preDelete: the fake cloud has no step {step.get('step')!r}.")
        resource = there.resources.get(str(step.get("resource")))
        if resource is not None:
            resource.undeletable = ""


def _wanted(stack: NativeStack, there: FakeStack | None) -> dict[str, Json]:
    """Resolve parameters, and keep ignored fields as they are."""
    resources: dict[str, Json] = {}
    for logical_id, spec in cast("dict[str, Json]", stack.template.get("resources", {})).items():
        if "type" not in spec:
            raise InvalidSpec(f"template.resources.{logical_id}.type: is required.")
        properties = {k: _value(v, stack) for k, v in spec.get("properties", {}).items()}
        if "group" in spec:
            alike = {k: v for k, v in spec.items() if k != "group"}
            resources |= {
                f"{logical_id}-{index}": alike | {"properties": _of_member(properties, index)}
                for index in _indexes(spec["group"])
            }
            continue
        former = there.resources.get(logical_id) if there is not None else None
        for name in _ignored(stack, logical_id):
            if former is not None and name in former.actual:
                properties[name] = former.actual[name]
        resources[logical_id] = spec | {"properties": properties}
    return resources


def _of_member(properties: Json, index: int) -> Json:
    """Return the properties of one member: of ``{each: [...]}`` the one in its place."""
    return {
        name: cast("Json", value)["each"][index]
        if isinstance(value, dict) and set(cast("Json", value)) == {"each"}
        else value
        for name, value in properties.items()
    }


def _indexes(group: Json) -> list[int]:
    """The first ``count`` numbers that were not removed."""
    removed = {int(number) for number in group.get("removed") or ()}
    free = (number for number in itertools.count() if number not in removed)
    return list(itertools.islice(free, int(group["count"])))


def _ignored(stack: NativeStack, logical_id: str) -> list[str]:
    prefix = f"resources.{logical_id}.properties."
    return [path.removeprefix(prefix) for path in stack.ignore_fields if path.startswith(prefix)]


def _value(value: Any, stack: NativeStack) -> Any:
    if not isinstance(value, dict) or set(cast("Json", value)) != {"parameter"}:
        return cast("Any", value)
    name = cast("Json", value)["parameter"]
    if name not in stack.parameters:
        raise InvalidSpec(f"parameters.{name}: has no value.")
    return stack.parameters[name]


def _changes(
    there: FakeStack | None, wanted: Mapping[str, Json], stateful: tuple[str, ...]
) -> list[Change]:
    former = there.resources if there is not None else {}
    changes = [
        change
        for logical_id, spec in wanted.items()
        if (change := _change(logical_id, former.get(logical_id), spec, stateful)) is not None
    ]
    changes += [
        Change(
            verb=Verb.DELETE,
            logical_id=logical_id,
            type=resource.type,
            physical_id=resource.physical_id,
            stateful=resource.stateful or logical_id in stateful,
        )
        for logical_id, resource in former.items()
        if logical_id not in wanted
    ]
    return changes


def _change(
    logical_id: str, former: FakeResource | None, spec: Json, stateful: tuple[str, ...]
) -> Change | None:
    if former is None:
        return Change(verb=Verb.CREATE, logical_id=logical_id, type=spec["type"])
    keys = former.actual.keys() | spec["properties"].keys()
    differing = tuple(sorted(k for k in keys if former.actual.get(k) != spec["properties"].get(k)))
    if not differing and not spec.get("failWith"):
        return None
    replaced = set(differing) & set(spec.get("replaceOn", ()))
    return Change(
        verb=Verb.REPLACE if replaced else Verb.UPDATE,
        logical_id=logical_id,
        type=spec["type"],
        physical_id=former.physical_id,
        properties=differing,
        stateful=former.stateful or logical_id in stateful,
    )


def _differing(resource: FakeResource) -> list[str]:
    keys = resource.actual.keys() | resource.properties.keys()
    return sorted(k for k in keys if resource.actual.get(k) != resource.properties.get(k))
