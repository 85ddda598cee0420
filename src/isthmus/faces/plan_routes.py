"""The HTTP face of planning: an ASGI application that the API server calls for known callers."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
import structlog
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from isthmus import errors
from isthmus.api.meta import Json
from isthmus.core.prices import Estimate
from isthmus.faces.paths import ADOPTABLES, ORPHANS, PLANS
from isthmus.faces.planning import Caller, Planner

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BODY_LIMIT_BYTES = 3 * 1024 * 1024
_CODES: tuple[tuple[type[errors.IsthmusError], int], ...] = (
    (errors.InvalidSpec, 422),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Throttled, 429),
    (errors.Retryable, 503),
    (errors.Terminal, 409),
)


class PlanRoutes:
    """Serves plans, orphans and adoptables; 503 until the planner is there."""

    def __init__(self) -> None:
        self.planner: Planner | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of an authenticated caller."""
        try:
            answer = await self._answer(scope, receive)
            code = 200
        except errors.IsthmusError as err:
            code = next((code for kind, code in _CODES if isinstance(err, kind)), 500)
            answer = _status(err.reason, err.message, code)
        except Exception:
            log.exception("planning broke")
            code = 500
            answer = _status("InternalError", "It is our mistake; the log says more.", code)
        await _send(send, answer, code)

    async def _answer(self, scope: Scope, receive: Receive) -> Json:
        planner = self.planner
        if planner is None:
            raise errors.Unavailable("The controllers are still starting; try again.")
        user: Any = scope["isthmus.user"]
        caller = Caller(user.name, tuple(sorted(user.groups)))
        provider = parse_qs(scope["query_string"].decode()).get("provider", [""])[0]
        match scope["method"], scope["path"].rstrip("/"):
            case "POST", path if path == PLANS:
                return await _plan(planner, caller, await _body(receive))
            case "GET", path if path == ORPHANS:
                found, skipped = await planner.orphans(caller, provider)
                left = [{"provider": one.provider, **encode(one.owned)} for one in found]
                return {"orphans": left, "skipped": encode(skipped)}
            case "GET", path if path == ADOPTABLES:
                return {"adoptables": encode(await planner.adoptables(caller, provider))}
            case _:
                raise errors.NotFound("There is nothing at this path.")


async def _plan(planner: Planner, caller: Caller, question: Json) -> Json:
    match question:
        case {"object": {"kind": str(), "metadata": {"name": str()}} as manifest}:
            plan = await planner.plan_apply(caller, cast("Json", manifest))
        case {"delete": {"kind": str(kind), "namespace": str(namespace), "name": str(name)}}:
            plan = await planner.plan_delete(caller, kind, namespace, name)
        case _:
            raise errors.InvalidSpec(
                "The body must be {object: MANIFEST} or {delete: {kind, namespace, name}}."
            )
    return encode(plan)


async def _body(receive: Receive) -> Json:
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > _BODY_LIMIT_BYTES:
            raise errors.InvalidSpec(f"The body is longer than {_BODY_LIMIT_BYTES} bytes.")
        if not message.get("more_body"):
            break
    try:
        value: Any = orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        raise errors.InvalidSpec("The body is no JSON.") from exc
    return cast("Json", value) if isinstance(value, dict) else {}


def encode(value: Any) -> Any:
    """Write our values as the API does: camelCase names, money and times as text."""
    if isinstance(value, Estimate):
        value_of = {f.name: getattr(value, f.name) for f in fields(value)}
        return {
            to_camel(k): encode(v) for k, v in (value_of | {"per_hour": value.per_hour}).items()
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {to_camel(f.name): encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, tuple | list):
        return [encode(item) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in cast("Json", value).items()}
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Decimal | date) else value


def _status(reason: str, message: str, code: int) -> Json:
    head = {"apiVersion": "v1", "kind": "Status", "status": "Failure"}
    return head | {"reason": reason, "message": message, "code": code}


async def _send(send: Send, answer: Json, code: int) -> None:
    body = orjson.dumps(answer)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
