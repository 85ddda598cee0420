"""A claim on an offering: render it to its Stack, and show what became of that.

Every kind that is realised from an offering shares this controller; what a kind needs besides is in
its own file.
"""

from typing import Any, Generic, TypeVar

from isthmus.api.meta import (
    APPROVE_REPLACEMENT,
    LET_GO,
    PAUSED,
    RETRY,
    Condition,
    DeletionPolicy,
    Json,
)
from isthmus.api.v1alpha1 import (
    AnyClaim,
    Claim,
    ClaimStatus,
    OfferingSpec,
    Provider,
    RevisionPolicy,
    Stack,
)
from isthmus.controllers.world import World
from isthmus.core import automatic, catalog, selectors
from isthmus.core.compose.claim import compose
from isthmus.core.compose.cluster_provider import is_of_cluster
from isthmus.core.compose.rendered import RENDERED_FROM, Rendered, note_origin, rendered_from
from isthmus.core.plan import Rendering, Revision
from isthmus.core.stacks import owner_uid
from isthmus.errors import AlreadyExists, Conflict, Forbidden, InvalidSpec, NotYet
from isthmus.runtime.kinds import api_of
from isthmus.runtime.outcome import Outcome, Progress, Waiting, done, waiting
from isthmus.runtime.worker import Reconciler

_OURS = (PAUSED, APPROVE_REPLACEMENT, RETRY, RENDERED_FROM, LET_GO)
"""Annotations of the Stack that follow the claim."""

ClaimT = TypeVar("ClaimT", bound=Claim[Any, Any])


class ClaimController(Reconciler[ClaimT], Generic[ClaimT]):
    """Turns claims of one kind into Stacks."""

    steps = ("Accepted", "Provisioned")

    def __init__(self, world: World, kind: type[ClaimT]) -> None:
        self._world = world
        self.kind = kind

    async def reconcile(self, obj: ClaimT, progress: Progress[Any]) -> Outcome:
        """Have the Stack that the spec asks for, and mirror it."""
        rendering = self.render(obj)
        _note_revision(rendering.revision, progress)
        _check_immutables(rendering)
        progress.reached("Accepted")
        stack = await self._have(rendering.stack, rendering.former)
        progress.status = _mirror(
            progress.status, stack, rendering.provider, rendering.revision.after
        )
        return _verdict(stack)

    def render(self, obj: ClaimT) -> Rendering:
        """Return what the claim becomes, and change nothing; a plan asks the same.

        Raises:
            InvalidSpec: A field does not fit.
            Forbidden: The namespace may not use the Offering or the Provider.
            NotYet: Something that it refers to is not there.
        """
        former = self._stack(obj)
        origin = rendered_from(former) if former is not None else None
        revision = self._revision(obj, origin)
        definition = self._world.definition(revision)
        self._check_offering(obj, origin)
        obj = self.furnish(obj, definition)
        provider = self._provider(obj, definition, former)
        decided = _decided(obj, definition, provider, origin)
        stack = compose(obj, definition, provider, decided.values)
        offering = self._world.offerings.get("", obj.spec.offering)
        return Rendering(
            stack=note_origin(stack, obj, revision, decided.values),
            definition=definition,
            provider=provider,
            values=decided.values,
            revision=Revision(
                offering=obj.spec.offering,
                before=origin.revision if origin is not None else "",
                after=revision,
                newest=offering.status.revision if offering is not None else "",
            ),
            former=former,
            former_plan=origin.plan if origin is not None else "",
            former_values=origin.values if origin is not None else {},
            notes=decided.notes,
        )

    def furnish(self, claim: ClaimT, definition: OfferingSpec) -> ClaimT:
        """Return the claim with what its kind adds to what the tenant asks for."""
        del definition
        return claim

    async def release(self, obj: ClaimT, progress: Progress[Any]) -> Outcome:
        """Take down the Stack."""
        del progress
        meta = obj.metadata
        stack = await self._world.look_up(Stack, meta.namespace, obj.stack_name)
        if stack is None or owner_uid(stack) != meta.uid:
            return done()
        free = await self._let_go(stack, obj.spec.deletion_policy)
        if free is stack and stack.deleting:
            return mirrored(stack.condition("Ready"), "Its stack is being deleted.")
        await self._delete(free)
        return waiting("Its stack is being deleted.")

    def _stack(self, claim: AnyClaim) -> Stack | None:
        meta = claim.metadata
        stack = self._world.stacks.get(meta.namespace, claim.stack_name)
        if stack is not None and owner_uid(stack) != meta.uid:
            if stack.deleting:
                raise NotYet("A former stack of this name is still being deleted.")
            raise AlreadyExists(
                f"metadata.name: there is a Stack {claim.stack_name!r} that is not of this object; "
                "choose another name."
            )
        return stack

    def _revision(self, claim: AnyClaim, origin: Rendered | None) -> str:
        """Pick the revision: the one asked for, the one in use, or the newest."""
        spec = claim.spec
        if spec.revision:
            return spec.revision
        manual = spec.revision_policy is RevisionPolicy.MANUAL
        if manual and origin is not None and origin.offering == spec.offering:
            return origin.revision
        offering = self._world.offerings.get("", spec.offering)
        if offering is None:
            raise NotYet(
                f"spec.offering: there is no Offering {spec.offering!r}; "
                "`kubectl get offerings` lists them."
            )
        if not offering.status.revision:
            raise NotYet(f"spec.offering: Offering {spec.offering!r} is not published yet.")
        return offering.status.revision

    def _check_offering(self, claim: AnyClaim, origin: Rendered | None) -> None:
        name, namespace = claim.spec.offering, claim.metadata.namespace
        if origin is not None and origin.offering != name:
            raise InvalidSpec(
                f"spec.offering: cannot be changed from {origin.offering!r}; create another object."
            )
        revision = self._world.revisions.get("", claim.spec.revision)
        if revision is not None and revision.spec.offering != name:
            raise InvalidSpec(
                f"spec.revision: {claim.spec.revision!r} is not a revision of {name!r}."
            )
        offering = self._world.offerings.get("", name)
        selector = offering.spec.namespace_selector if offering is not None else None
        if not selectors.matches(selector, self._world.labels_of(namespace)):
            raise Forbidden(f"spec.offering: namespace {namespace!r} may not use {name!r}.")

    def _provider(self, claim: ClaimT, definition: OfferingSpec, former: Stack | None) -> Provider:
        """Return the Provider asked for, the one in use, or the only one that fits."""
        world, namespace = self._world, claim.metadata.namespace
        asked, used = claim.spec.provider, former.spec.provider if former is not None else ""
        if asked and used and asked != used:
            raise InvalidSpec(
                f"spec.provider: cannot be changed from {used!r}; create another object."
            )
        if asked or used:
            provider = world.provider(asked or used, namespace)
            if former is None and provider.deleting:
                raise NotYet(
                    f"spec.provider: Provider {asked!r} is being deleted and takes nothing new; "
                    "name another."
                )
            return provider
        labels = world.labels_of(namespace)
        fitting = [
            provider
            for provider in world.providers.all()
            if provider.spec.driver in definition.stacks
            and not provider.deleting
            and not is_of_cluster(provider)
            and selectors.matches(provider.spec.namespace_selector, labels)
        ]
        if not fitting:
            raise NotYet(
                "spec.provider: no Provider that this namespace may use supports this offering; "
                f"it needs one of the drivers: {', '.join(sorted(definition.stacks))}."
            )
        if len(fitting) > 1:
            names = ", ".join(sorted(provider.metadata.name for provider in fitting))
            raise InvalidSpec(f"spec.provider: several fit; name one of: {names}.")
        return fitting[0]

    async def _have(self, wanted: Stack, former: Stack | None) -> Stack:
        """Create or change the Stack, if anything differs."""
        if former is None:
            return await self._create(wanted)
        if former.deleting:
            raise NotYet(_LEAVING if LET_GO in former.metadata.annotations else _DELETED)
        if former.spec == wanted.spec and _followers(former) == _followers(wanted):
            return former
        return await self._change(wanted, former)

    async def _create(self, wanted: Stack) -> Stack:
        try:
            return Stack.parse(await self._world.create(wanted))
        except AlreadyExists:
            meta = wanted.metadata
            await self._world.look_up(Stack, meta.namespace, meta.name)
            raise Conflict("The stack is there already.") from None

    async def _change(self, wanted: Stack, former: Stack) -> Stack:
        raw = self._world.stacks.cache.get(former.metadata.namespace, former.metadata.name)
        if raw is None:
            raise Conflict("The stack is gone.")
        annotations = raw["metadata"].get("annotations", {})
        others = {key: value for key, value in annotations.items() if key not in _OURS}
        metadata: Json = raw["metadata"] | {"annotations": others | _followers(wanted)}
        body = raw | {"metadata": metadata, "spec": wanted.dump()["spec"]}
        return Stack.parse(await self._world.replace(Stack, body))

    async def _let_go(self, stack: Stack, policy: DeletionPolicy) -> Stack:
        """Say that nothing needs the Stack any more, and whether what it stands for stays."""
        notes, known = stack.metadata.annotations, stack.spec.deletion_policy
        if stack.deleting and known is DeletionPolicy.RETAIN:
            return stack  # It goes at once. Who wants that on the Stack itself is not overruled.
        if LET_GO in notes and known is policy:
            return stack
        metadata = stack.metadata.model_copy(update={"annotations": notes | {LET_GO: "true"}})
        spec = stack.spec.model_copy(update={"deletion_policy": policy})
        wanted = stack.model_copy(update={"metadata": metadata, "spec": spec})
        return await self._change(wanted, stack)

    async def _delete(self, stack: Stack) -> None:
        """Ask for the deletion of a Stack that was let go."""
        if not stack.deleting:
            meta = stack.metadata
            await self._world.store.delete(api_of(Stack), meta.namespace, meta.name, meta.uid)


def _decided(
    claim: AnyClaim, definition: OfferingSpec, provider: Provider, origin: Rendered | None
) -> automatic.Decided:
    """Return the value of every parameter; a choice that the Stack records is not made again."""
    place = automatic.Place(
        provider=provider,
        former=origin.values if origin is not None else None,
        adopting=claim.spec.adopt is not None,
    )
    return automatic.decide(definition, catalog.values_of(definition, claim.spec), place)


def _note_revision(revision: Revision, progress: Progress[ClaimStatus]) -> None:
    if revision.newest in ("", revision.after):
        progress.note("RevisionCurrent", holds=True, reason="Newest")
        return
    progress.note(
        "RevisionCurrent",
        holds=False,
        reason="NewerRevision",
        message=f"Revision {revision.newest} is there; set spec.revision to take it.",
    )


def _check_immutables(rendering: Rendering) -> None:
    if not rendering.former_plan:
        return
    definition, former = rendering.definition, rendering.former_values
    if changed := catalog.changed_immutables(definition, former, rendering.values):
        raise InvalidSpec(
            f"spec.parameters.{changed[0]}: cannot be changed after creation; set it back, or "
            "create another object."
        )


def _followers(stack: Stack) -> dict[str, str]:
    return {key: value for key, value in stack.metadata.annotations.items() if key in _OURS}


def _mirror(status: ClaimStatus, stack: Stack, provider: Provider, revision: str) -> ClaimStatus:
    return status.model_copy(
        update={
            "provider": provider.metadata.name,
            "revision": revision,
            "stack": stack.metadata.name,
            "simulated": provider.status.simulated,
            "outputs": stack.status.outputs,
        }
    )


def _verdict(stack: Stack) -> Outcome:
    if stack.ready:
        return done()
    ready = stack.condition("Ready")
    if ready is None or ready.observed_generation != stack.metadata.generation:
        return waiting(_IN_WORK)
    return mirrored(ready, _IN_WORK)


_LEAVING = "Its stack is being deleted; it is made again then."
_DELETED = (
    "Somebody deleted its Stack, which stays until this object goes and takes no changes any more. "
    "To have it made again around what is there, set spec.deletionPolicy of the Stack to Retain."
)
_IN_WORK = "Its stack is not ready yet; the Stack of the same name shows how far it is."


def mirrored(ready: Condition | None, usual: str) -> Waiting:
    """Say what keeps the stack, but not every native step: each would cost a write."""
    if ready is None or ready.reason == "Waiting" or ready.status == "True":
        return waiting(usual)
    return waiting(ready.message, reason=ready.reason)
