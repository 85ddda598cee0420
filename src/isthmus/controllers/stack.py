"""Stack: the only caller of stack engines. Look, then take the one step that is missing."""

from dataclasses import replace
from datetime import datetime, timedelta

from isthmus.api.meta import APPROVE_REPLACEMENT, RETRY, DeletionPolicy, Management
from isthmus.api.v1alpha1 import Phase, Stack, StackEvent, StackStatus
from isthmus.controllers.stack_needs import still_needed
from isthmus.controllers.world import World
from isthmus.core import stacks
from isthmus.core.compose.rendered import rendered_from
from isthmus.core.looks import LAST_LOOK, Looks
from isthmus.core.stacks import Changes, NativeStack, Observed
from isthmus.errors import (
    ApprovalRequired,
    DeletionBlocked,
    Forbidden,
    NotFound,
    NotYet,
    StackFailed,
)
from isthmus.ports import StackEngine
from isthmus.runtime import telemetry
from isthmus.runtime.connections import secret_values
from isthmus.runtime.kinds import SECRETS
from isthmus.runtime.outcome import Done, Happening, Outcome, Progress, Waiting, done, waiting
from isthmus.runtime.worker import RESYNC, Reconciler

DRIFT_EVERY = timedelta(minutes=30)
DRIFT_TAKES = timedelta(seconds=30)
_EVENTS_KEPT = 20
_AGAIN = "; it is tried again"
"""How the message of a blocked deletion ends while the engine has another try."""
_MAKERS_OF_SECRETS = frozenset({"Cluster", "NodePool"})
"""Kinds whose controllers make Secrets for their Stacks, so that a plan comes before these."""


class StackController(Reconciler[Stack]):
    """Realises Stacks on whatever engine their Provider has."""

    kind = Stack
    steps = ("Accepted", "Synced")
    announces = False  # The engine's own events do.

    def __init__(self, world: World, *, drift_every: timedelta = DRIFT_EVERY) -> None:
        self._world = world
        self._drift_every = drift_every
        self._drift_asked: dict[str, datetime] = {}
        self._looks = Looks()

    def trace(self, obj: Stack) -> str:
        """A stack belongs to the trace of the instance that it was rendered from."""
        origin = rendered_from(obj)
        if origin is None:
            return super().trace(obj)
        return f"{stacks.owner_uid(obj)}/{origin.generation}"

    async def reconcile(self, obj: Stack, progress: Progress[StackStatus]) -> Outcome:
        """Bring the native stack one step closer to the spec."""
        provider = self._world.provider(obj.spec.provider, obj.metadata.namespace)
        if obj.spec.management is Management.OBSERVE:
            self._world.require_adoption(obj.spec.provider, obj.metadata.namespace)
        async with self._world.connections.use(provider) as connection:
            engine = connection.engine
            observed = await engine.observe(stacks.external_name(obj))
            self._check_sight(obj, observed)
            _saw(obj, observed, progress)
            progress.reached("Accepted")
            if obj.spec.management is Management.OBSERVE:
                return _watched(obj, observed)
            wanted = self._digest(obj)
            changed = observed.changeable and not _is(observed, obj, wanted)
            if observed.phase is Phase.WORKING and not changed:
                return self._working(obj, observed, progress)
            if not _is(observed, obj, wanted):
                observed = await self._send(obj, wanted, observed, engine)
                _saw(obj, observed, progress)
            if observed.phase is Phase.READY and not _is(observed, obj, wanted):
                return self._working(obj, observed, progress)  # Of what it was before, not of ours.
            return await self._verdict(obj, observed, engine, progress)

    async def release(self, obj: Stack, progress: Progress[StackStatus]) -> Outcome:
        """Delete the native stack, if it is ours, nobody wants it kept and its owner lets it go."""
        self._drift_asked.pop(obj.metadata.uid, None)
        if obj.spec.management is Management.OBSERVE:
            return done()
        if obj.spec.deletion_policy is DeletionPolicy.RETAIN:
            return done()
        if needed := await still_needed(self._world, obj):
            return waiting(needed, reason="InUse")
        provider = self._world.providers.get("", obj.spec.provider)
        if provider is None:
            raise NotYet(
                f"spec.provider: Provider {obj.spec.provider!r} is gone, so nobody can delete the "
                "native stack; bring it back, or set spec.deletionPolicy to Retain."
            )
        async with self._world.connections.use(provider) as connection:
            outcome = await self._delete(obj, connection.engine, progress)
        if isinstance(outcome, Done):
            self._looks.forget(obj.metadata.uid)
        return outcome

    async def preview(self, stack: Stack) -> Changes:
        """Return what the engine would change, and change nothing."""
        provider = self._world.provider(stack.spec.provider, stack.metadata.namespace)
        values, later = await self._foreseen(stack)
        native = self._native(stack, values, digest=self._digest(stack))
        async with self._world.connections.use(provider) as connection:
            observed = await connection.engine.observe(native.name)
            self._check_sight(stack, observed)
            self._check_adoption(stack, observed)
            native = replace(native, former_owner=self._gone(stack, observed))
            changes = await connection.engine.preview(native)
        notes = (*changes.notes, *(f"Secret {name!r} is made meanwhile" for name in later))
        return replace(changes, digest=changes.digest or native.digest, notes=notes)

    def _check_sight(self, stack: Stack, observed: Observed) -> None:
        """Show nothing of what an object elsewhere owns: its outputs are not this tenant's.

        Raises:
            Forbidden: The native stack bears the tag of an object that is not in this namespace.
        """
        owner, namespace = observed.owner_uid, stack.metadata.namespace
        if owner in ("", stacks.owner_uid(stack)) or self._gone(stack, observed):
            return
        if all(home != namespace for home, _ in self._world.owners(owner)):
            raise Forbidden(
                f"spec.adopt.externalName: stack {stacks.external_name(stack)!r} belongs to an "
                "object that is not in this namespace."
            )

    def _check_adoption(self, stack: Stack, observed: Observed) -> None:
        """Before the first adoption: it must be allowed, and there must be something to adopt."""
        adopt = stack.spec.adopt
        if adopt is None or observed.owner_uid == stacks.owner_uid(stack):
            return
        self._world.require_adoption(stack.spec.provider, stack.metadata.namespace)
        if not adopt.resources and observed.phase is Phase.ABSENT:
            raise NotFound(f"spec.adopt.externalName: there is no stack {adopt.external_name!r}.")

    async def _delete(
        self, stack: Stack, engine: StackEngine, progress: Progress[StackStatus]
    ) -> Outcome:
        name = stacks.external_name(stack)
        observed = await engine.observe(name)
        if observed.phase is Phase.ABSENT:
            return done()
        if observed.owner_uid != stacks.owner_uid(stack):
            return await self._disown(stack, observed, engine, progress)
        _saw(stack, observed, progress)
        again = _tried_again(stack)
        if observed.blockers:
            if again:
                raise _blocked(observed)
            again = _blocked(observed).message + _AGAIN
        await engine.delete(self._native(stack, {}, digest=""))
        observed = await engine.observe(name)
        _saw(stack, observed, progress)
        if observed.phase is Phase.ABSENT:
            return done()
        if observed.blockers:
            raise _blocked(observed)
        outcome = self._working(stack, observed, progress)
        return replace(outcome, why=again, reason=DeletionBlocked.reason) if again else outcome

    async def _disown(
        self,
        stack: Stack,
        observed: Observed,
        engine: StackEngine,
        progress: Progress[StackStatus],
    ) -> Outcome:
        """Leave what bears no tag of ours; but finish an import, whose tag comes after it."""
        adopt = stack.spec.adopt
        if adopt is None or not adopt.resources or observed.owner_uid:
            return done()
        await engine.adopt(self._native(stack, {}, digest=""), adopt)
        return self._working(stack, observed, progress)

    def _digest(self, stack: Stack) -> str:
        namespace, secrets = stack.metadata.namespace, self._world.secrets
        names = sorted(_secret_names(stack))
        versions = {name: secrets.version(namespace, name) for name in names}
        retry = stack.metadata.annotations.get(RETRY, "")
        return stacks.wanted_digest(stack.spec, versions, retry=retry)

    async def _send(
        self, stack: Stack, wanted: str, observed: Observed, engine: StackEngine
    ) -> Observed:
        """Have the engine start what is missing, and look at once: some clouds are fast."""
        native = self._native(stack, await self._values(stack), digest=wanted)
        adopt = stack.spec.adopt
        foreign = observed.owner_uid != stacks.owner_uid(stack)
        if adopt is not None and foreign:
            self._check_adoption(stack, observed)
            former = self._gone(stack, observed)
            await engine.adopt(replace(native, former_owner=former), adopt)
        else:
            await self._apply(stack, native, engine)
        return await engine.observe(native.name)

    def _gone(self, stack: Stack, observed: Observed) -> str:
        """Return the owner's uid if it was an object of this namespace that is gone.

        What such an object left, for example with ``deletionPolicy: Retain``, may be adopted.
        """
        here = (stack.metadata.namespace, self._world.connections.installation)
        if (observed.owner_namespace, observed.owner_installation) != here:
            return ""
        known = next(self._world.owners(observed.owner_uid), None)
        return "" if known is not None else observed.owner_uid

    async def _apply(self, stack: Stack, native: NativeStack, engine: StackEngine) -> None:
        try:
            await engine.apply(native)
        except ApprovalRequired as err:
            owner = next(iter(stack.metadata.owner_references), None)
            kind = (owner.kind if owner is not None else "Stack").lower()
            name = owner.name if owner is not None else stack.metadata.name
            raise ApprovalRequired(
                f"{err.message} To allow it: kubectl annotate {kind} {name} "
                f"{APPROVE_REPLACEMENT}={native.digest[:12]}",
                detail=err.detail,
            ) from err

    def _native(self, stack: Stack, secrets: dict[str, str], *, digest: str) -> NativeStack:
        spec = stack.spec
        plain = {name: p.value or "" for name, p in spec.parameters.items() if not p.secret_key_ref}
        approval = stack.metadata.annotations.get(APPROVE_REPLACEMENT, "")
        return NativeStack(
            name=stacks.external_name(stack),
            template=spec.template,
            parameters=plain | secrets,
            secret_parameters=frozenset(secrets),
            digest=digest,
            tags=stacks.tags(stack, self._world.connections.installation),
            stateful=spec.stateful,
            pre_delete=spec.pre_delete,
            ignore_fields=spec.ignore_fields,
            replacement_approved=stacks.approves(approval, digest),
            adopted=spec.adopt is not None,
        )

    async def _values(self, stack: Stack) -> dict[str, str]:
        """Resolve the secret parameters; they live no longer than the engine's call."""
        found: dict[str, dict[str, str]] = {}
        for name in _secret_names(stack):
            secret = await self._world.store.get(SECRETS, stack.metadata.namespace, name)
            if secret is None:
                raise NotYet(f"spec.parameters: there is no Secret {name!r} in this namespace.")
            found[name] = secret_values(secret)
        values: dict[str, str] = {}
        for parameter, source in stack.spec.parameters.items():
            if (ref := source.secret_key_ref) is None:
                continue
            if ref.key not in found[ref.name]:
                raise NotYet(f"spec.parameters: Secret {ref.name!r} has no key {ref.key!r}.")
            values[parameter] = found[ref.name][ref.key]
        return values

    async def _foreseen(self, stack: Stack) -> tuple[dict[str, str], tuple[str, ...]]:
        """Resolve the secret parameters; empty where a Cluster or NodePool makes the Secret yet."""
        owner = next(iter(stack.metadata.owner_references), None)
        if owner is None or owner.kind not in _MAKERS_OF_SECRETS:
            return await self._values(stack), ()
        names = sorted(_secret_names(stack))
        found = [await self._world.store.get(SECRETS, stack.metadata.namespace, n) for n in names]
        later = {name for name, secret in zip(names, found, strict=True) if secret is None}
        if not later:
            return await self._values(stack), ()
        refs = {n: p.secret_key_ref for n, p in stack.spec.parameters.items() if p.secret_key_ref}
        return dict.fromkeys(refs, ""), tuple(sorted(later))

    async def _verdict(
        self,
        stack: Stack,
        observed: Observed,
        engine: StackEngine,
        progress: Progress[StackStatus],
    ) -> Outcome:
        if observed.phase is not Phase.WORKING:
            self._looks.forget(stack.metadata.uid)
        if observed.phase is Phase.READY:
            if observed.checking:
                return done(after=min(DRIFT_TAKES, self._drift_every))
            return await self._settled(stack, observed, engine)
        if observed.phase is Phase.FAILED:
            raise StackFailed(_cause(observed))
        return self._working(stack, observed, progress)

    def _working(
        self, stack: Stack, observed: Observed, progress: Progress[StackStatus]
    ) -> Waiting:
        ready = stack.condition("Ready")
        since = ready.last_transition_time if ready is not None and not stack.ready else None
        waited = progress.now - since if since is not None else timedelta()
        after = self._looks.after(stack.metadata.uid, observed.left, waited, progress.now)
        words = observed.message or observed.native_status or "The engine works."
        return waiting(words, after=after)

    async def _settled(self, stack: Stack, observed: Observed, engine: StackEngine) -> Outcome:
        """Look for drift from time to time; a watch cannot see it."""
        uid, now = stack.metadata.uid, self._world.clock.now()
        asked = self._drift_asked.setdefault(uid, now)
        if now - asked < self._drift_every:
            return done(after=min(RESYNC, self._drift_every))
        await engine.check_drift(stacks.external_name(stack))
        self._drift_asked[uid] = now
        return done(after=min(DRIFT_TAKES, self._drift_every))


def _saw(stack: Stack, observed: Observed, progress: Progress[StackStatus]) -> None:
    """Take over what the engine said into status, events and trace."""
    for event in _since(progress.status.events, observed.events):
        _tell(event, progress)
    before = progress.status.drift
    drift = observed.drift and stacks.unignored(observed.drift, stack.spec.ignore_fields)
    resources = observed.resources
    if observed.checking:
        drift, resources = before, progress.status.resources or resources
    progress.status = progress.status.model_copy(
        update={
            "external_name": stacks.external_name(stack),
            "native_id": observed.native_id,
            "native_status": observed.native_status,
            "phase": observed.phase,
            "digest": observed.digest,
            "outputs": dict(observed.outputs),
            "resources": resources,
            "events": stacks.kept(observed.events, _EVENTS_KEPT),
            "drift": drift,
        }
    )
    if drift is not None:
        drifted = drift.drifted
        progress.note(
            "Drifted",
            holds=drifted,
            reason="Drifted" if drifted else "InSync",
            message="; ".join(drift.resources),
        )
        if drifted and (before is None or before.resources != drift.resources):
            words = "Changed behind our back: " + "; ".join(drift.resources)
            progress.tell(Happening(reason="Drifted", message=words, type="Warning"))


def _since(known: tuple[StackEvent, ...], seen: tuple[StackEvent, ...]) -> tuple[StackEvent, ...]:
    """Return the events after the last one that we know already."""
    ids = {event.id for event in known}
    last = max((i for i, event in enumerate(seen) if event.id in ids), default=-1)
    return seen[last + 1 :]


def _tell(event: StackEvent, progress: Progress[StackStatus]) -> None:
    telemetry.native_event(
        event.status, {"resource": event.logical_id, "type": event.type, "reason": event.reason}
    )
    if stacks.matters(event):
        of = f" ({event.type})" if event.type else ""
        words = f"{event.logical_id}{of}: {event.status}. {event.reason}".strip()
        kind = "Warning" if stacks.failed(event) else "Normal"
        progress.tell(Happening(reason="NativeEvent", message=words, type=kind, key=event.id))


def _is(observed: Observed, stack: Stack, wanted: str) -> bool:
    """Tell whether the native stack is ours and was given what the spec says."""
    return observed.owner_uid == stacks.owner_uid(stack) and observed.digest == wanted


def _watched(stack: Stack, observed: Observed) -> Outcome:
    if observed.phase is Phase.ABSENT:
        raise NotFound(f"There is no stack {stacks.external_name(stack)!r} to observe.")
    if observed.phase is Phase.FAILED:
        raise StackFailed(_cause(observed))
    if observed.phase is Phase.WORKING:
        return waiting(observed.message or observed.native_status, after=LAST_LOOK)
    return done(after=timedelta(minutes=1))


def _blocked(observed: Observed) -> DeletionBlocked:
    return DeletionBlocked("Deletion is blocked by " + "; ".join(observed.blockers))


def _tried_again(stack: Stack) -> str:
    """Return what blocked the deletion before the try that is going on; empty: nothing did.

    While an engine tries again it does not say any more what stopped it the last time.
    """
    ready = stack.condition("Ready")
    known = ready.message if ready is not None else ""
    return known if known.endswith(_AGAIN) else ""


def _cause(observed: Observed) -> str:
    return observed.message or f"The engine says {observed.native_status}."


def _secret_names(stack: Stack) -> set[str]:
    refs = (parameter.secret_key_ref for parameter in stack.spec.parameters.values())
    return {ref.name for ref in refs if ref is not None}
