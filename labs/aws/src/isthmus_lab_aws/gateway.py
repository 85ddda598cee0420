"""ministack's HTTP side: reads a request as it does, checks who may, saves and restores its state.

Together with `ministack.py` the only module that knows ministack's insides.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, quote

from isthmus_lab_aws.ministack import at, module
from isthmus_lab_aws.resource import Answer, Call, Place

PRIVATE_NAMES: Mapping[str, tuple[str, ...]] = {
    "app": (
        "app",
        "SERVICE_HANDLERS",
        "_enforce_data_plane",
        "_get_module",
        "_request_account_scope",
        "_routing_params",
        "_state_map",
    ),
    "core.persistence": ("_json_default", "_json_object_hook"),
    "core.responses": ("get_account_id", "set_request_account_id", "set_request_region"),
    "core.router": ("detect_service", "extract_access_key_id", "extract_region"),
    "core.iam_actions": ("extract_iam_action", "extract_resource_arn"),
    "core.iam_evaluator": (
        "pin_request_caller",
        "pin_request_origin",
        "pin_signed_body",
        "pin_signed_request",
        "request_caller_arn",
    ),
    "services.cloudformation": ("_PERSISTED_STORES",),
    "services.sts": ("_sessions",),
}

_SCOPE = re.compile(r"Credential=[^/]+/[^/]+/([^/]+)/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as the server received it; `call` is what it asks for."""

    call: Call
    routed: str
    """The service that ministack routes it to."""
    iam_action: str
    access_key: str
    raw_path: str
    raw_headers: list[tuple[bytes, bytes]]
    parameters: Mapping[str, list[str]]


def settle_environment(state: Path) -> None:
    """Where ministack keeps objects of S3; before anything of it is imported."""
    os.environ.update(S3_PERSIST="1", S3_DATA_DIR=str(state / "s3"), SFTP_ENABLED="0")


def application() -> Any:
    """Ministack's ASGI application."""
    return module("app").app


def arrive(scope: Mapping[str, Any], body: bytes) -> Arrived:
    """Read a request and enter its account and region for the rest of this context."""
    query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
    raw_headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw_headers
    }
    router = module("core.router")
    access_key = str(router.extract_access_key_id(headers, query))
    place = _enter(access_key, str(router.extract_region(headers, query)))
    path: str = scope["path"]
    parameters: dict[str, list[str]] = module("app")._routing_params(
        scope["method"], path, headers, body, query
    )
    routed = str(router.detect_service(scope["method"], path, headers, parameters))
    iam_action = module("core.iam_actions").extract_iam_action(
        routed, scope["method"], path, headers, body, parameters
    )
    service = _signing_name(headers, query) or routed
    raw_path = scope.get("raw_path") or quote(path).encode()
    call = Call(
        service=service,
        action=_action(iam_action, headers, parameters),
        place=place,
        method=scope["method"],
        path=path,
        query=query,
        headers=headers,
        body=body,
        parameters=_parameters(headers, body, parameters),
        principal=_caller(headers, query),
    )
    return Arrived(
        call,
        routed,
        str(iam_action or f"{service}:{call.action}"),
        access_key,
        raw_path.decode("latin-1"),
        raw_headers,
        parameters,
    )


def refused(arrived: Arrived, resource: str = "") -> Answer | None:
    """Why the caller may not do this, in the service's protocol; None where it may.

    Checks the signature, the session and the policies, as ministack does for its own services.
    """
    call = arrived.call
    evaluator = module("core.iam_evaluator")
    evaluator.pin_request_caller(call.headers, call.query)
    # The lab stands for endpoints that speak TLS, so policies that ask for it are met.
    evaluator.pin_request_origin("127.0.0.1", True)
    evaluator.pin_signed_request(call.method, arrived.raw_path, call.query, arrived.raw_headers)
    evaluator.pin_signed_body(call.body)
    if not resource:
        resource = module("core.iam_actions").extract_resource_arn(
            arrived.routed,
            call.method,
            call.path,
            call.headers,
            call.body,
            arrived.parameters,
            call.place.region,
            call.place.account,
        )
    denied = module("app")._enforce_data_plane(
        arrived.routed if resource != "*" else call.service,
        arrived.iam_action,
        call.headers,
        call.query,
        "lab",
        resource,
        named_resource=resource,
    )
    if denied is None:
        return None
    status, headers, body = denied
    return Answer(status, body if isinstance(body, bytes) else str(body).encode(), dict(headers))


async def call_service(place: Place, service: str, action: str, **parameters: str) -> bytes:
    """Call a query-protocol service inside, with no one to authorise; for the lab's own set-up."""
    form = "&".join(
        f"{quote(key)}={quote(value, safe='')}"
        for key, value in {"Action": action, **parameters}.items()
    )
    headers = {"content-type": "application/x-www-form-urlencoded", "host": "127.0.0.1"}
    handler = module("app").SERVICE_HANDLERS[service]
    with at(place):
        status, _, body = await handler("POST", "/", headers, form.encode(), {})
    if status >= 400:
        raise RuntimeError(f"{service} {action} failed: {body!r}")
    return body if isinstance(body, bytes) else str(body).encode()


def dumps() -> dict[str, Callable[[], bytes]]:
    """How to save each service that was used so far, by name."""
    found: dict[str, Callable[[], bytes]] = {"sts-sessions": _dump_sessions}
    state_map: dict[str, str] = module("app")._state_map
    for name, module_name in state_map.items():
        loaded = sys.modules.get(f"ministack.services.{module_name}")
        if loaded is not None and hasattr(loaded, "get_state"):
            found[f"service/{name}"] = _dump_of(loaded)
    return found


def load(saved: Mapping[str, bytes]) -> None:
    """Restore what `dumps` gave, before the first request."""
    persistence, app = module("core.persistence"), module("app")
    state_map: dict[str, str] = app._state_map
    for name, body in saved.items():
        if name == "sts-sessions":
            module("services.sts")._sessions.update(json.loads(body))
        kind, _, service_name = name.partition("/")
        if kind == "service" and service_name in state_map:
            state = json.loads(body, object_hook=persistence._json_object_hook)
            app._get_module(state_map[service_name]).load_persisted_state(state)


def _dump_of(loaded: Any) -> Callable[[], bytes]:
    # CloudFormation's state is the largest and changes most: its stores are read as they are.
    stores: tuple[tuple[Callable[[], Any], str], ...] | None = getattr(
        loaded, "_PERSISTED_STORES", None
    )

    def dump() -> bytes:
        state = {key: store() for store, key in stores} if stores else loaded.get_state()
        default = module("core.persistence")._json_default
        return json.dumps(state, default=default).encode()

    return dump


def _dump_sessions() -> bytes:
    sts = sys.modules.get("ministack.services.sts")
    return json.dumps(cast("Any", sts)._sessions if sts else {}, default=str).encode()


def _enter(access_key: str, region: str) -> Place:
    responses = module("core.responses")
    if access_key:
        responses.set_request_account_id(module("app")._request_account_scope(access_key))
    responses.set_request_region(region)
    return Place(str(responses.get_account_id()), region)


def _signing_name(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> str:
    found = _SCOPE.search(headers.get("authorization", ""))
    if found:
        return found.group(2)
    scope = (query.get("X-Amz-Credential") or [""])[0].split("/")
    return scope[3] if len(scope) > 3 else ""


def _action(
    iam_action: str | None, headers: Mapping[str, str], parameters: Mapping[str, list[str]]
) -> str:
    """The operation's name: as policies name it, or else as the request does."""
    if iam_action:
        return iam_action.partition(":")[2]
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    return (parameters.get("Action") or [target])[0]


def _caller(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> str:
    return str(module("core.iam_evaluator").request_caller_arn(headers, query))


def _parameters(
    headers: Mapping[str, str], body: bytes, form: Mapping[str, list[str]]
) -> Mapping[str, Any]:
    if "json" in headers.get("content-type", "") and body:
        try:
            document = json.loads(body)
        except ValueError:
            return {}
        return cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    return {key: values[0] for key, values in form.items() if values}


def main_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that serves requests, once it runs."""
    return cast("asyncio.AbstractEventLoop | None", module("app")._MAIN_LOOP)
