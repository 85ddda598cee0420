"""Operation: run one day-2 action once, and keep what came of it."""

from datetime import timedelta

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import (
    AnyClaim,
    Operation,
    OperationPhase,
    OperationStatus,
    Provider,
    Target,
)
from isthmus.controllers.service_binding import facts_of
from isthmus.controllers.world import World
from isthmus.core import catalog, schemas
from isthmus.core.compose.rendered import rendered_from
from isthmus.core.render import substitute
from isthmus.errors import InvalidSpec, NotYet, StateForbids, Terminal
from isthmus.ports import ActionCall, ActionState
from isthmus.runtime.kinds import api_of
from isthmus.runtime.outcome import Outcome, Progress, done, waiting
from isthmus.runtime.worker import Reconciler

_LOOK = timedelta(seconds=2)


class OperationController(Reconciler[Operation]):
    """Runs day-2 actions."""

    kind = Operation
    steps = ("Accepted", "Completed")
    holds = False  # Deleting the record does not undo what was done.

    def __init__(self, world: World) -> None:
        self._world = world

    async def reconcile(self, obj: Operation, progress: Progress[OperationStatus]) -> Outcome:
        """Start it, or ask how far it is."""
        if obj.status.completed_at is not None:
            return await self._ended(obj, progress)
        try:
            provider, call = self._resolve(obj)
            progress.reached("Accepted")
            state = await self._advance(obj, provider, call)
        except Terminal as err:
            progress.status = progress.status.model_copy(
                update={"phase": OperationPhase.FAILED, "completed_at": progress.now}
            )
            raise err from None
        progress.status = _status(obj, state, progress)
        if state.done:
            return done(after=_ttl(obj))
        return waiting(state.message or "The action runs.", after=_LOOK)

    async def _advance(self, obj: Operation, provider: Provider, call: ActionCall) -> ActionState:
        async with self._world.connections.use(provider) as connection:
            if obj.status.handle:
                return await connection.actions.poll(call, obj.status.handle)
            return await connection.actions.start(call)

    def _resolve(self, obj: Operation) -> tuple[Provider, ActionCall]:
        target, namespace = obj.spec.target, obj.metadata.namespace
        claim = self._claim(target, namespace)
        stack = self._world.stacks.get(namespace, claim.stack_name)
        origin = rendered_from(stack) if stack is not None else None
        if stack is None or origin is None:
            raise NotYet(f"spec.target.name: {target.name!r} has no stack yet.")
        provider = self._world.provider(stack.spec.provider, namespace)
        definition = self._world.definition(origin.revision)
        action = catalog.action_of(definition, obj.spec.action)
        parameters = schemas.defaults(action.parameters) | obj.spec.parameters
        schemas.check(action.parameters, parameters, field="spec.parameters")
        calls = catalog.stack_of(definition, provider.spec.driver).actions.get(action.name)
        if calls is None:
            raise InvalidSpec(
                f"spec.action: {action.name!r} is not available on {provider.spec.driver!r}."
            )
        secret = schemas.secret_names(definition.parameters)
        meta = claim.metadata
        scope = catalog.Scope(
            values={k: v for k, v in origin.values.items() if k not in secret},
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
        ).of_use(stack.status.outputs, facts_of(provider))
        scope |= {f"action.{key}": value for key, value in parameters.items()}
        spec: Json = substitute(calls, scope, path=f"actions.{action.name}")
        return provider, ActionCall(token=obj.metadata.uid, spec=spec)

    def _claim(self, target: Target, namespace: str) -> AnyClaim:
        kinds = self._world.claims
        if target.kind not in kinds:
            raise InvalidSpec(f"spec.target.kind: only these have actions: {', '.join(kinds)}.")
        claim = kinds[target.kind].get(namespace, target.name)
        if claim is None:
            raise InvalidSpec(f"spec.target.name: there is no {target.kind} {target.name!r}.")
        if claim.deleting:
            raise StateForbids(f"spec.target.name: {target.name!r} is being deleted.")
        return claim

    async def _ended(self, obj: Operation, progress: Progress[OperationStatus]) -> Outcome:
        """Keep the record as it is, until its time to live is over."""
        ttl, ended = obj.spec.ttl_seconds_after_finished, obj.status.completed_at
        assert ended is not None
        if ttl is not None:
            left = ended + timedelta(seconds=ttl) - self._world.clock.now()
            if left <= timedelta():
                meta = obj.metadata
                await self._world.store.delete(
                    api_of(Operation), meta.namespace, meta.name, meta.uid
                )
        return _as_it_was(obj, progress)


def _status(
    obj: Operation, state: ActionState, progress: Progress[OperationStatus]
) -> OperationStatus:
    phase = OperationPhase.SUCCEEDED if state.done else OperationPhase.RUNNING
    return obj.status.model_copy(
        update={
            "phase": phase,
            "handle": state.handle or obj.status.handle,
            "result": state.result,
            "started_at": obj.status.started_at or progress.now,
            "completed_at": progress.now if state.done else None,
        }
    )


def _as_it_was(obj: Operation, progress: Progress[OperationStatus]) -> Outcome:
    progress.reached("Accepted")
    ready = obj.condition("Ready")
    if ready is None or ready.status == "True":
        return done(after=_ttl(obj))
    return waiting(ready.message, reason=ready.reason, after=_ttl(obj))


def _ttl(obj: Operation) -> timedelta | None:
    ttl = obj.spec.ttl_seconds_after_finished
    return timedelta(seconds=ttl) if ttl is not None else None
