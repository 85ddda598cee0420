"""Day-2 actions as data: the calls that an offering declares, run and waited for.

The form is the same for every cloud with an SDK; its driver brings the call itself. An action is
started once for a token: names may carry ``${call.token}``, and a state that means "under way"
(``requires[].already``) skips the calls.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson

from isthmus.api.meta import Json
from isthmus.core.placeholders import fill
from isthmus.core.render import as_text
from isthmus.errors import AlreadyExists, InvalidSpec, NotFound, StackFailed, StateForbids
from isthmus.ports import ActionCall, ActionState

Caller = Callable[[str, str, Json, str], Awaitable[Json]]
"""Make one call: service, operation, arguments, and the token, empty for a call that reads."""


class DeclaredActions:
    """See ``ports.Actions``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def start(self, call: ActionCall) -> ActionState:
        """Check what is required, make the calls, and look once."""
        scope = _scope(call)
        under_way = await self._require(call.spec, scope)
        answer: Json = {}
        results: Json = {}
        if not under_way:
            for step in cast("list[Json]", call.spec.get("calls", [])):
                answer = await self._do(step, scope | _as_results(results), call.token)
                results |= _picked(step.get("result"), answer)
        if not call.spec.get("wait"):
            return ActionState(
                done=True,
                handle=_handle(results),
                result=results | _picked(call.spec.get("result"), answer),
            )
        return await self._look(call, results)

    async def poll(self, call: ActionCall, handle: str) -> ActionState:
        """Look how far it is."""
        return await self._look(call, _results_of(handle))

    async def _require(self, spec: Json, scope: Json) -> bool:
        """Raise StateForbids, or tell whether the action is under way already."""
        under_way = False
        for rule in cast("list[Json]", spec.get("requires", [])):
            answer = await self._call(rule, scope, "")
            state = _search(rule.get("path"), answer)
            if state in rule.get("already", []):
                under_way = True
            elif "in" in rule and state not in rule["in"]:
                wanted = " or ".join(as_text(v) for v in rule["in"])
                said = rule.get("message") or f"it must be {wanted}"
                raise StateForbids(f"The target is {as_text(state) or 'unknown'}; {said}.")
        return under_way

    async def _look(self, call: ActionCall, results: Json) -> ActionState:
        wait = cast("Json", call.spec["wait"])
        handle = _handle(results)
        try:
            answer = await self._call(wait, _scope(call) | _as_results(results), "")
        except NotFound:
            if wait.get("absent") != "ok":
                raise
            return ActionState(done=True, handle=handle, result=results)
        state = _search(wait.get("path"), answer)
        words = as_text(_search(wait.get("message"), answer)) if wait.get("message") else ""
        if state in wait.get("failed", []):
            raise StackFailed(f"The action failed: {as_text(state)}. {words}".strip())
        if state in wait.get("until", []):
            result = results | _picked(call.spec.get("result"), answer)
            return ActionState(done=True, handle=handle, result=result, message=words)
        return ActionState(
            done=False, handle=handle, result=results, message=words or as_text(state)
        )

    async def _do(self, step: Json, scope: Json, token: str) -> Json:
        """Make one of the calls; what it says may be there, or gone, already."""
        try:
            return await self._call(step, scope, token)
        except AlreadyExists:
            if step.get("exists") != "ok":
                raise
        except NotFound:
            if step.get("absent") != "ok":
                raise
        return {}

    async def _call(self, step: Json, scope: Json, token: str) -> Json:
        service, operation = str(step.get("service", "")), str(step.get("operation", ""))
        if not service or not operation:
            raise InvalidSpec("actions: every call needs `service` and `operation`.")
        filled, missing = fill(step.get("arguments", {}), scope)
        if missing:
            raise InvalidSpec(
                f"actions: {service}.{operation} uses ${{{sorted(missing)[0]}}}, which no earlier "
                "call has given."
            )
        return await self._caller(service, operation, cast("Json", filled), token)


def _scope(call: ActionCall) -> Json:
    return {"call.token": hashlib.sha256(call.token.encode()).hexdigest()[:12]}


def _as_results(results: Json) -> Json:
    return {f"result.{name}": value for name, value in results.items()}


def _picked(wanted: Any, answer: Json) -> Json:
    """Return the named values of an answer."""
    names = cast("dict[str, str]", wanted or {})
    return {name: _plain(_search(path, answer)) for name, path in names.items() if answer}


def _plain(value: Any) -> Any:
    """Return a value as JSON: times become text."""
    return orjson.loads(orjson.dumps(value, default=str))


def _search(path: Any, answer: Json) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    if not path:
        return None
    try:
        return jmespath.search(str(path), answer)
    except JMESPathError as exc:
        raise InvalidSpec(f"actions: {path!r} is no JMESPath: {exc}") from exc


def _handle(results: Json) -> str:
    """Write down what ``poll`` needs: the results of the calls."""
    return orjson.dumps(results, option=orjson.OPT_SORT_KEYS).decode()


def _results_of(handle: str) -> Json:
    try:
        return cast("Json", orjson.loads(handle or "{}"))
    except orjson.JSONDecodeError as exc:
        raise InvalidSpec("status.handle: it is not ours.") from exc
