"""The lab's front door: every request passes here, first and last.

In order: the lab's own `/_lab` pages, the journal of calls, faults, credentials, checks of
CloudFormation requests, services that the lab adds, hooks round ministack's services, ministack
itself. An answer goes out once what it tells is saved.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from isthmus_lab_aws import gateway
from isthmus_lab_aws.answers import error_answer
from isthmus_lab_aws.calls import Calls
from isthmus_lab_aws.control import Control
from isthmus_lab_aws.faults import Faults, Rule
from isthmus_lab_aws.gateway import Arrived
from isthmus_lab_aws.resource import Answer, ApiHook, Call, Extension, ServiceApi
from isthmus_lab_aws.snapshots import Snapshots

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

READS = ("Get", "List", "Describe", "Head", "Batch", "Search", "Lookup", "Simulate", "Validate")


class Gatekeeper(Protocol):
    """Looks at an authorised call before it runs; an answer ends it, None lets it pass."""

    async def __call__(self, arrived: Arrived) -> Answer | None:
        """The refusal, or None."""
        ...


class Broken(Exception):
    """The connection ends without an answer."""


class Front:
    """The ASGI application of the lab."""

    def __init__(self, control: Control, calls: Calls, faults: Faults, saved: Snapshots) -> None:
        self._control = control
        self._calls = calls
        self._faults = faults
        self._saved = saved
        self._apis: list[ServiceApi] = []
        self._hooks: list[ApiHook] = []
        self._gatekeepers: list[Gatekeeper] = []

    def add(self, extension: Extension) -> None:
        """Serve an extension's APIs and hooks."""
        self._apis += extension.apis
        self._hooks += extension.hooks

    def guard_by(self, gatekeeper: Gatekeeper) -> None:
        """Ask `gatekeeper` about each CloudFormation call that its caller may make."""
        self._gatekeepers.append(gatekeeper)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await gateway.application()(scope, receive, send)
            return
        try:
            answer = await self._respond(scope, receive)
        except Broken:
            _break_off(send)
            return
        await _send(send, answer)

    async def _respond(self, scope: Message, receive: Receive) -> Answer:
        body = await _read(receive)
        path: str = scope["path"]
        if path.startswith("/_lab/"):
            return await self._control.respond(scope["method"], path, scope["query_string"], body)
        if path.startswith(("/_ministack", "/_localstack", "/_aws/")) or path == "/health":
            return Answer(404, b"not a page of the lab; see /_lab/health\n")
        arrived = gateway.arrive(scope, body)
        rule = self._faults.of_call(arrived.call.service, arrived.call.action)
        status = 0
        try:
            answer = await self._strike(rule, arrived.call)
            if answer is None:
                answer = await self._serve(scope, arrived)
                await self._settle(arrived.call)
                if rule is not None and rule.effect == "lose":
                    raise Broken
            status = answer.status
            return answer
        finally:
            self._calls.note(arrived.call, status, rule.effect if rule else "")

    async def _strike(self, rule: Rule | None, call: Call) -> Answer | None:
        if rule is None or rule.effect == "lose":
            return None
        if rule.effect in ("delay", "timeout"):
            await asyncio.sleep(rule.seconds)
        if rule.effect in ("reset", "timeout"):
            raise Broken
        if rule.effect == "throttle":
            return error_answer(call, "Throttling", "Rate exceeded", 400)
        if rule.effect == "error":
            return error_answer(call, rule.code, rule.message, rule.status)
        return None

    async def _serve(self, scope: Message, arrived: Arrived) -> Answer:
        call = arrived.call
        if refusal := _forbidden_key(arrived):
            return refusal
        api = next((api for api in self._apis if api.handles(call)), None)
        hooks = [hook for hook in self._hooks if _meets(hook, call)]
        guarded = call.service == "cloudformation" and self._gatekeepers
        if api is not None or hooks or guarded:
            refusal = gateway.refused(arrived, api.resource(call) if api else "")
            if refusal is not None:
                return _in_protocol(call, refusal)
        if guarded:
            for gatekeeper in self._gatekeepers:
                refusal = await gatekeeper(arrived)
                if refusal is not None:
                    return refusal
        if api is not None:
            return await asyncio.to_thread(api.handle, call)
        return await self._hooked(scope, call, hooks)

    async def _hooked(self, scope: Message, call: Call, hooks: list[ApiHook]) -> Answer:
        for hook in hooks:
            if hook.before is not None:
                early = await asyncio.to_thread(hook.before, call)
                if early is not None:
                    return early
        answer = await _from_ministack(scope, call.body)
        for hook in hooks:
            if hook.after is not None:
                answer = await asyncio.to_thread(hook.after, call, answer)
        return answer

    async def _settle(self, call: Call) -> None:
        if not (call.action.startswith(READS) or call.method in ("GET", "HEAD")):
            self._saved.changed(stacks=call.service == "cloudformation")
        await self._saved.durable()


def _meets(hook: ApiHook, call: Call) -> bool:
    return hook.service == call.service and (not hook.actions or call.action in hook.actions)


def _in_protocol(call: Call, refusal: Answer) -> Answer:
    """Ministack refuses in JSON on behalf of a service whose protocol it does not know."""
    speaks_json = "x-amz-target" in call.headers or "json" in call.headers.get("content-type", "")
    if speaks_json or not refusal.body.startswith(b"{"):
        return refusal
    return error_answer(call, "AccessDenied", json.loads(refusal.body)["message"], refusal.status)


def _forbidden_key(arrived: Arrived) -> Answer | None:
    """Refuse what ministack takes for root unchecked: no key at all, `test`, an account number."""
    key = arrived.access_key
    if key and key != "test" and not (len(key) == 12 and key.isdigit()):
        return None
    code = "InvalidClientTokenId" if key else "MissingAuthenticationToken"
    message = (
        "The security token included in the request is invalid."
        if key
        else "Request is missing Authentication Token"
    )
    return error_answer(arrived.call, code, message, 403)


async def _from_ministack(scope: Message, body: bytes) -> Answer:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    started: Message = {}
    parts: list[bytes] = []

    async def receive() -> Message:
        if pending:
            return pending.pop()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    # As over TLS, which AWS always speaks: policies on aws:SecureTransport are met.
    await gateway.application()({**scope, "scheme": "https"}, receive, send)
    headers = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in started["headers"]
    }
    return Answer(started["status"], b"".join(parts), headers)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Broken
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, answer: Answer) -> None:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    headers.pop("transfer-encoding", None)
    headers.setdefault("content-length", str(len(answer.body)))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


def _break_off(send: Send) -> None:
    """Reset the connection: uvicorn's `send` is a method of the cycle that holds the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
