"""Requests and answers over ASGI: bodies with bounds, content types, warnings."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
import yaml

from isthmus.apiserver import protobuf, yamlloader
from isthmus.apiserver.authn import User
from isthmus.apiserver.config import Limits, Receive, Scope, Send
from isthmus.apiserver.errors import ApiError, bad_request
from isthmus.apiserver.joined import Joined
from isthmus.apiserver.jsonvalues import Json

JSON = b"application/json"
_MEDIA_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_MOST_WARNED, _CUT_WARNING = 4096, 256
"""Letters of all warnings of an answer, and of each where they are more: as in Kubernetes."""
_YAML_AT_ONCE = 64 * 1024
_YAML_READER = ThreadPoolExecutor(1, "apiserver-yaml")
"""One text at a time: each takes a hundred times its length of memory."""
_FALSE = frozenset(("false", "0"))


class Disconnected(Exception):
    """The caller went away before the request was complete."""


class Request:
    """One request.

    Args:
        scope: The ASGI scope.
        receive: The ASGI receive callable.
        user: Who calls.
        limits: Bounds on the body.
    """

    __slots__ = (
        "_limits", "_read", "duplicates", "headers", "method", "path", "query", "receive", "sent",
        "user",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, user: User, limits: Limits) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        query: bytes = scope["query_string"]
        self.query: dict[str, str] = (
            dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}
        )
        self.receive = receive
        self._read = False
        self.sent = b""
        """The body, once it has been read."""
        self.duplicates: tuple[str, ...] = ()
        """Fields that the body, once read, says more than once."""
        self.user = user
        self._limits = limits

    def header(self, name: bytes) -> str:
        """A header's value, or the empty string."""
        return self.headers.get(name, b"").decode("latin-1")

    def flag(self, name: str) -> bool:
        """Whether a query parameter is there and does not say no, as Kubernetes reads it."""
        return self.query.get(name, "0").lower() not in _FALSE

    def number(self, name: str) -> int:
        """A query parameter that is a number; 0 when it is absent or negative.

        Raises:
            ApiError: 400, it is none.
        """
        text = self.query.get(name, "0")
        if not text.removeprefix("-").isdecimal() or len(text) > 18:
            raise bad_request(f'strconv.ParseInt: parsing "{text[:64]}": invalid syntax')
        return max(0, int(text))

    async def body(self) -> bytes:
        """The whole body; asked for again, the same.

        Raises:
            ApiError: 413, it is longer than allowed.
        """
        if self._read:
            return self.sent
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > self._limits.body_bytes:
                limit = self._limits.body_bytes
                raise ApiError(
                    413, "RequestEntityTooLarge", f"the body must have at most {limit} bytes"
                )
            parts.append(part)
            if not message.get("more_body"):
                body = parts[0] if len(parts) == 1 else b"".join(parts)
                if size > _YAML_AT_ONCE and "yaml" in self.header(b"content-type"):
                    body = await _in_json(body)
                self._read, self.sent = True, body
                return body

    async def json(self) -> Any:
        """The body as a JSON value, whatever its encoding: JSON, YAML or Kubernetes' protobuf.

        Raises:
            ApiError: It cannot be read, or is nested too deeply.
        """
        return self.decode(await self.body())

    def decode(self, body: bytes) -> Any:
        """Decode a body by its content type."""
        content_type = self.header(b"content-type")
        if "protobuf" in content_type:
            return protobuf.decode(body)
        if content_type and "json" not in content_type and "yaml" not in content_type:
            raise ApiError(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(_MEDIA_TYPES),
            )
        value = load(body, self._limits.nesting, yaml="yaml" in content_type)
        self.duplicates = duplicates(body, value)
        return value

    async def object(self) -> Json:
        """The body as a JSON object.

        Raises:
            ApiError: It is no object.
        """
        value = await self.json()
        if not isinstance(value, dict):
            raise bad_request("the body must be an object")
        return cast("Json", value)


def form_of(accept: str) -> str:
    """`yaml` where the caller takes that and no JSON, else the empty string for JSON.

    Raises:
        ApiError: 406, neither is accepted.
    """
    if not accept or "json" in accept or "*/*" in accept or "application/*" in accept:
        return ""
    if "yaml" in accept:
        return "yaml"
    raise not_acceptable()


def takes_yaml_only(accept: str) -> bool:
    """Whether a refusal is to be in YAML; who takes neither gets JSON."""
    return "yaml" in accept and "json" not in accept and "*" not in accept


def not_acceptable(parameters: str = "") -> ApiError:
    """406: nothing can be answered in a form that the caller takes."""
    listed = ", ".join(
        kind + parameters for kind in _MEDIA_TYPES if not (parameters and "yaml" in kind)
    )
    why = f"only the following media types are accepted: {listed}"
    return ApiError(406, "NotAcceptable", why)


def load(body: bytes, deepest: int, *, yaml: bool = False) -> Any:
    """Read JSON, or YAML, that is nested at most `deepest` levels.

    Raises:
        ApiError: 400.
    """
    try:
        value = load_yaml(body) if yaml else orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is no valid JSON: {error}") from error
    # Only what has many brackets can be deep; YAML needs none.
    if yaml or body.count(b"{") + body.count(b"[") > deepest:
        check_nesting(value, deepest)
    return value


class _Pairs(list[tuple[str, Any]]):
    """An object as the text has it."""


def duplicates(body: bytes, value: Any) -> tuple[str, ...]:
    """Paths of the fields that a JSON text says more than once, given what was read from it."""
    # As many names after as before reading, and nothing was said twice: two counts of bytes.
    if body.count(b'":') > orjson.dumps(value).count(b'":'):
        return duplicate_fields(body)
    return ()


def duplicate_fields(body: bytes) -> tuple[str, ...]:
    """Paths of the fields that a JSON text says more than once."""
    found: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, _Pairs):
            seen = set[str]()
            for name, part in value:
                here = f"{path}.{name}" if path else name
                if name in seen:
                    found.append(here)
                seen.add(name)
                walk(part, here)
        elif isinstance(value, list):
            for index, part in enumerate(cast("list[Any]", value)):
                walk(part, f"{path}[{index}]")

    try:
        walk(json.loads(body, object_pairs_hook=_Pairs), "")
    except (ValueError, RecursionError):
        return ()
    return tuple(found)


async def _in_json(body: bytes) -> bytes:
    """A long YAML text as JSON; others have their turns while it is read, which takes seconds."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_YAML_READER, lambda: orjson.dumps(load_yaml(body)))
    return body


def load_yaml(body: bytes) -> Any:
    """Read YAML; JSON, which is nearly all that clients send, takes the fast way.

    Raises:
        ApiError: 400.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        yamlloader.check(body)
        value = yamlloader.load(body)
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise bad_request("the body is no valid YAML with JSON values") from error


def check_nesting(value: Any, deepest: int) -> None:
    """Refuse a value nested deeper than `deepest`, without recursion of our own.

    Raises:
        ApiError: 400.
    """
    level: list[Any] = [value]
    for _ in range(deepest):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += [v for v in cast("Json", item).values() if isinstance(v, dict | list)]
            elif isinstance(item, list):
                inner += [v for v in cast("list[Any]", item) if isinstance(v, dict | list)]
        if not inner:
            return
        level = inner
    raise bad_request(f"the body is nested deeper than {deepest} levels")


@dataclass(slots=True)
class Response:
    """One answer that is not a stream.

    Attributes:
        body: Its bytes.
        code: HTTP status.
        content_type: Type of the body.
        warnings: Sentences that kubectl prints to its user.
        headers: Further headers.
    """

    body: bytes | Joined
    code: int = 200
    content_type: bytes = JSON
    warnings: list[str] = field(default_factory=list[str])
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])

    @classmethod
    def json(cls, value: Any, code: int = 200) -> "Response":
        """An answer from a JSON value."""
        return cls(orjson.dumps(value), code)

    async def in_yaml(self) -> "Response":
        """The same answer as YAML; while a long list is written, others have their turns."""
        parts: list[str] = []
        for name, value in sorted(orjson.loads(bytes(self.body)).items()):
            if name != "items" or not value:
                parts.append(yamlloader.dump({name: value}))
                continue
            parts.append("items:\n")
            for item in value:
                parts.append(yamlloader.dump([item]))
                await asyncio.sleep(0)
        return replace(self, body="".join(parts).encode(), content_type=b"application/yaml")

    async def send(self, send: Send, *, pieces: bool = False) -> None:
        """Answer; with `pieces`, a long body goes out in several."""
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", str(len(self.body)).encode()),
            (b"cache-control", b"no-cache, private"),
            *self.headers,
        ]
        headers += [(b"warning", warning(text)) for text in told(self.warnings)]
        await send({"type": "http.response.start", "status": self.code, "headers": headers})
        body = self.body
        if isinstance(body, Joined) and pieces:
            for piece in body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            body = b""
        await send({"type": "http.response.body", "body": bytes(body)})


def told(sentences: list[str]) -> Iterator[str]:
    """The warnings that an answer has room for; where they are too long, the beginnings of them."""
    if sum(map(len, sentences)) > _MOST_WARNED:
        sentences = [sentence[:_CUT_WARNING] for sentence in sentences]
    left = _MOST_WARNED
    for sentence in sentences:
        left -= len(sentence)
        if left < 0:
            return
        yield sentence


def warning(sentence: str) -> bytes:
    """RFC 7234's form: code 299, no agent, a quoted text."""
    text = sentence.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    return f'299 - "{text[:2048]}"'.encode("ascii", "replace")
