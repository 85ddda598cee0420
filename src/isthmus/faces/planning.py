"""Answers what would happen to an object, on the server's side, for somebody who may do it.

It asks the controllers' own code what they would render and the engine what that would change, so a
plan cannot differ from the deed. Nothing is written but the engine's own preview, which it removes.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import uuid4

from pydantic import ValidationError

from isthmus.api.meta import (
    API_VERSION,
    APPROVE_REPLACEMENT,
    SIMULATED,
    Json,
    Management,
    Resource,
    Uid,
)
from isthmus.api.v1alpha1 import (
    KINDS,
    AnyClaim,
    Claim,
    Cluster,
    Provider,
    ServiceBinding,
    ServiceInstance,
    Stack,
    StorageBackend,
)
from isthmus.core import plan as plans
from isthmus.core.orphans import Orphan, orphans
from isthmus.core.plan import Check, Intent, Plan, Rendering
from isthmus.core.prices import Estimate, estimate
from isthmus.core.stacks import Changes, Owned, approves
from isthmus.core.why import subject
from isthmus.errors import Forbidden, InvalidSpec, IsthmusError, NotFound, NotYet
from isthmus.ports import Api, Store

AnyResource = Resource[Any, Any]
_MODELS: dict[str, type[AnyResource]] = {model.names.kind: model for model in KINDS}
_REVIEWS = Api("authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()


class Controllers(Protocol):
    """What the controllers would do, asked without doing it."""

    def render(self, claim: AnyClaim) -> Rendering:
        """Return the Stack that the instance would become. Raises what the controller would."""
        ...

    async def preview(self, stack: Stack) -> Changes:
        """Return the native change set of a Stack."""
        ...

    async def owned(self, provider: Provider) -> tuple[Owned, ...]:
        """Return what bears our tag in the account of a Provider."""
        ...

    async def adoptable(self, provider: Provider) -> tuple[Owned, ...]:
        """Return the stacks in the account of a Provider that bear nobody's tag."""
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """A Provider that could not be searched, and why."""

    provider: str
    message: str


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A stack of somebody else."""

    provider: str
    name: str
    native_id: str


class Planner:
    """Plans, orphans and adoptable stacks.

    Args:
        store: Read as the planner itself; callers' rights are asked for each time.
        controllers: What the controllers would do.
    """

    def __init__(self, store: Store, controllers: Controllers) -> None:
        self._store = store
        self._controllers = controllers

    async def plan_apply(self, caller: Caller, manifest: Json) -> Plan:
        """Say what applying a manifest would do.

        Raises:
            Forbidden: The caller may not do it.
            InvalidSpec: It is no object of ours.
        """
        wanted = _parse(manifest)
        meta = wanted.metadata
        found = await self._store.get(_api(wanted), meta.namespace, meta.name)
        verb = "create" if found is None else "patch"
        right = await self._require(caller, verb, wanted)
        wanted = _identified(wanted, found)
        match wanted:
            case Claim():
                plan = await self._claim(wanted, exists=found is not None)
            case Stack():
                plan = await self._stack(wanted, exists=found is not None)
            case _:
                same = found is not None and _parse(found).spec == wanted.spec
                plan = _simple(wanted, _intent(exists=found is not None, changes=not same))
        return replace(plan, checks=(right, *plan.checks))

    async def plan_delete(self, caller: Caller, kind: str, namespace: str, name: str) -> Plan:
        """Say what deleting an object would do.

        Raises:
            Forbidden: The caller may not do it.
            NotFound: There is none, told only to who may delete it.
        """
        model = _MODELS.get(kind)
        if model is None:
            raise InvalidSpec(f"kind: {kind!r} is no kind of isthmus.dev.")
        place = namespace if model.names.namespaced else ""
        right = await self._require_named(caller, "delete", model, place, name)
        found = await self._store.get(_api(model), place, name)
        if found is None:
            raise NotFound(f"{kind} {place}/{name} does not exist." if place else f"{kind} {name}")
        obj = model.parse(found)
        stack = await self._stack_of(obj)
        return Plan(
            subject=subject(obj),
            intent=Intent.DELETE,
            provider=stack.spec.provider if stack is not None else "",
            changes=plans.deletion_changes(stack) if stack is not None else (),
            notes=plans.deletion_notes(stack) if stack is not None else (),
            checks=(right, *await self._blockers(obj)),
        )

    async def orphans(
        self, caller: Caller, provider: str = ""
    ) -> tuple[tuple[Orphan, ...], tuple[Skipped, ...]]:
        """Return what bears our tag and has no object, and which Providers did not answer."""
        await self._require_route(caller, "orphans")
        known = await self._uids()
        found: list[tuple[str, Owned]] = []
        skipped: list[Skipped] = []
        for one in await self._providers(provider):
            try:
                owned = await self._controllers.owned(one)
            except IsthmusError as err:
                skipped.append(Skipped(one.metadata.name, err.message))
                continue
            found += [(one.metadata.name, thing) for thing in owned]
        # An object may have been made while we asked the clouds.
        return orphans(found, known | await self._uids()), tuple(skipped)

    async def adoptables(self, caller: Caller, provider: str = "") -> tuple[Adoptable, ...]:
        """Return the stacks that somebody might adopt."""
        await self._require_route(caller, "adoptables")
        found: list[Adoptable] = []
        for one in await self._providers(provider):
            stacks = await self._controllers.adoptable(one)
            found += [Adoptable(one.metadata.name, s.name, s.native_id) for s in stacks]
        return tuple(found)

    async def _claim(self, claim: AnyClaim, *, exists: bool) -> Plan:
        try:
            rendering = self._controllers.render(claim)
        except IsthmusError as err:
            check = Check(name=_RULE.get(type(err), "catalog"), passed=False, message=err.message)
            intent = _intent(exists=exists, changes=True)
            return Plan(subject=subject(claim), intent=intent, checks=(check,))
        changes, checks = await self._changes(rendering.stack, claim)
        parameters = plans.parameter_changes(
            rendering.definition, rendering.former_values, rendering.values
        )
        policy = Check(
            name="policy",
            passed=True,
            message=f"the namespace may use {rendering.revision.offering} and "
            f"{rendering.provider.metadata.name}",
        )
        return Plan(
            subject=subject(claim),
            intent=_intent(exists=exists, changes=bool(changes.changes or parameters)),
            provider=rendering.provider.metadata.name,
            simulated=rendering.provider.metadata.labels.get(SIMULATED) == "true",
            revision=rendering.revision,
            parameters=parameters,
            changes=changes.changes,
            price_before=_price(rendering, rendering.former_plan, rendering.former_values),
            price_after=_price(rendering, claim.spec.plan, rendering.values),
            checks=(policy, plans.immutables_check(parameters), *checks),
            notes=(*rendering.notes, *_adoption(rendering.stack), *changes.notes),
            digest=changes.digest,
        )

    async def _stack(self, stack: Stack, *, exists: bool) -> Plan:
        changes, checks = await self._changes(stack, stack)
        return Plan(
            subject=subject(stack),
            intent=_intent(exists=exists, changes=bool(changes.changes)),
            provider=stack.spec.provider,
            changes=changes.changes,
            notes=changes.notes,
            checks=checks,
            digest=changes.digest,
        )

    async def _changes(self, stack: Stack, owner: AnyResource) -> tuple[Changes, tuple[Check, ...]]:
        """Ask the engine; its refusal is a check that is not passed."""
        if stack.spec.management is Management.OBSERVE:
            return Changes(notes=("spec.management is Observe: nothing is changed",)), ()
        try:
            changes = await self._controllers.preview(stack)
        except NotFound:
            raise
        except IsthmusError as err:
            return Changes(), (Check(name="cloud", passed=False, message=err.message),)
        meta = owner.metadata
        approved = approves(meta.annotations.get(APPROVE_REPLACEMENT, ""), changes.digest)
        target = f"{owner.names.kind.lower()}/{meta.name} --namespace {meta.namespace}"
        data = plans.replacement_check(changes, approved=approved, target=target)
        return changes, (Check(name="cloud", passed=True, message=_accepted(changes)), data)

    async def _blockers(self, obj: AnyResource) -> list[Check]:
        if isinstance(obj, Cluster):
            return [await self._inhabitants(obj)]
        if not isinstance(obj, ServiceInstance):
            return []
        meta = obj.metadata
        listing = await self._store.list(_api(ServiceBinding), meta.namespace)
        bindings = [ServiceBinding.parse(item) for item in listing.items]
        users = [b.metadata.name for b in bindings if b.spec.instance == meta.name]
        if not users:
            return [Check(name="bindings", passed=True, message="nobody is bound to it")]
        message = f"ServiceBindings use it: {', '.join(sorted(users))}"
        remedy = "; ".join(
            f"isthmus delete servicebinding/{name} -n {meta.namespace}" for name in sorted(users)
        )
        return [Check(name="bindings", passed=False, message=message, remedy=remedy)]

    async def _inhabitants(self, cluster: Cluster) -> Check:
        """Say whose stacks live in a cluster; its storage and its pod network go with it."""
        meta = cluster.metadata
        listing = await self._store.list(_api(Stack), meta.namespace)
        stacks = [Stack.parse(item) for item in listing.items]
        inside = [s for s in stacks if s.spec.provider == cluster.status.own_provider]
        along = {Cluster.names.kind, StorageBackend.names.kind}
        others = [
            s.metadata.name
            for s in inside
            if not any(owner.kind in along for owner in s.metadata.owner_references)
        ]
        if not others or not cluster.status.own_provider:
            return Check(name="inhabitants", passed=True, message="nothing of others lives in it")
        message = f"stacks live in it: {', '.join(sorted(others))}"
        return Check(
            name="inhabitants", passed=False, message=message, remedy="delete their owners first"
        )

    async def _stack_of(self, obj: AnyResource) -> Stack | None:
        if isinstance(obj, Stack):
            return obj
        if not isinstance(obj, Claim):
            return None
        found = await self._store.get(_api(Stack), obj.metadata.namespace, obj.stack_name)
        return Stack.parse(found) if found is not None else None  # pyright: ignore[reportReturnType]

    async def _providers(self, name: str) -> list[Provider]:
        listing = await self._store.list(_api(Provider))
        found = [Provider.parse(item) for item in listing.items]
        chosen = [one for one in found if name in ("", one.metadata.name)]
        if name and not chosen:
            raise NotFound(f"provider: there is no Provider {name!r}.")
        return chosen  # pyright: ignore[reportReturnType]

    async def _uids(self) -> frozenset[str]:
        """Return the uids of everything that may own something in a cloud."""
        owners = [model for model in KINDS if issubclass(model, (Claim, ServiceBinding, Stack))]
        listings = [await self._store.list(_api(model)) for model in owners]
        return frozenset(item["metadata"]["uid"] for listing in listings for item in listing.items)

    async def _require(self, caller: Caller, verb: str, obj: AnyResource) -> Check:
        meta = obj.metadata
        return await self._require_named(caller, verb, type(obj), meta.namespace, meta.name)

    async def _require_named(
        self, caller: Caller, verb: str, model: type[AnyResource], namespace: str, name: str
    ) -> Check:
        """Ask the API whether the caller may; whether the object exists stays untold."""
        group, resource = API_VERSION.partition("/")[0], model.names.plural
        attributes = {"verb": verb, "group": group, "resource": resource, "name": name}
        if namespace:
            attributes["namespace"] = namespace
        allowed = await self._may(caller, attributes)
        check = plans.rights_check(allowed, verb=verb, resource=resource, namespace=namespace)
        if not allowed:
            raise Forbidden(f"{check.message}; {check.remedy}.")
        return check

    async def _require_route(self, caller: Caller, resource: str) -> None:
        attributes = {"verb": "list", "group": "plan.isthmus.dev", "resource": resource}
        if not await self._may(caller, attributes):
            raise Forbidden(
                f"you may not list {resource}.plan.isthmus.dev; it shows things of all namespaces. "
                "Ask an administrator for the role isthmus-platform."
            )

    async def _may(self, caller: Caller, attributes: Json) -> bool:
        review: Json = {
            "apiVersion": _REVIEWS.group_version,
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": caller.name,
                "groups": list(caller.groups),
                "resourceAttributes": attributes,
            },
        }
        answer = await self._store.create(_REVIEWS, review)
        return answer["status"]["allowed"] is True


_RULE: dict[type[IsthmusError], str] = {Forbidden: "policy", NotYet: "placement"}


def _parse(manifest: Json) -> AnyResource:
    kind = manifest.get("kind")
    model = _MODELS.get(str(kind))
    if model is None or manifest.get("apiVersion") != API_VERSION:
        raise InvalidSpec(f"kind: {kind!r} is no kind of {API_VERSION}; only those have a plan.")
    try:
        return model.parse(manifest)
    except ValidationError as exc:
        fields = [".".join(map(str, e["loc"])) + ": " + e["msg"] for e in exc.errors()]
        raise InvalidSpec("; ".join(fields[:3])) from exc


def _api(obj: AnyResource | type[AnyResource]) -> Api:
    return Api(API_VERSION, obj.names.plural, obj.names.namespaced)


def _identified(wanted: AnyResource, found: Json | None) -> AnyResource:
    """Give it identity and status of the one that is there, else an id that no stack bears."""
    there = type(wanted).parse(found) if found is not None else None
    uid = there.metadata.uid if there is not None else Uid(str(uuid4()))
    metadata = wanted.metadata.model_copy(update={"uid": uid})
    status = there.status if there is not None else type(wanted.status)()
    return wanted.model_copy(update={"metadata": metadata, "status": status})


def _intent(*, exists: bool, changes: bool) -> Intent:
    if not exists:
        return Intent.CREATE
    return Intent.CHANGE if changes else Intent.NOTHING


def _simple(obj: AnyResource, intent: Intent) -> Plan:
    note = f"a {obj.names.kind} has no native change set"
    return Plan(subject=subject(obj), intent=intent, notes=(note,))


def _price(rendering: Rendering, plan: str, values: Json) -> Estimate | None:
    """Return the list price; a former one is told in the terms of the new revision."""
    spec = rendering.provider.spec
    place = (spec.driver, spec.region)
    return estimate(rendering.definition, plan, values, place) if plan else None


def _adoption(stack: Stack) -> tuple[str, ...]:
    adopt = stack.spec.adopt
    return (f"takes over {adopt.external_name!r}, which is there already",) if adopt else ()


def _accepted(changes: Changes) -> str:
    count = len(changes.changes)
    return f"the engine would make {count} change{'' if count == 1 else 's'}"
