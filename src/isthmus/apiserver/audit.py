"""The audit log: who did what, as JSON lines in the form of Kubernetes' audit events.

A line is written before the request counts as done, so killing the process loses none. No answer is
ever written, nothing that was sent to Secrets or holds a token, and of other bodies nothing whose
name sounds like a secret. A log that cannot be written is complained of, and the API goes on.

Source: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
"""

import logging
import os
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson

from isthmus.apiserver.audit_policy import Level, Policy
from isthmus.apiserver.authn import User
from isthmus.apiserver.config import AuditConfig, Scope
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.http import Request, load_yaml
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.targets import Target

_LOG = logging.getLogger(__name__)
_SECRET = re.compile(
    r"passw|passphrase|token|secret|credential|private.?key|api.?key|access.?key|last-applied", re.I
)
"""Names whose values are not written. The last applied configuration holds everything anew."""
MASKED = "***"
_DEEPEST = 32
_COMPLAIN_SECONDS = 60.0
_LONGEST = 2048
"""Characters of what callers choose freely: paths and user agents."""


@dataclass(slots=True)
class Seen:
    """One request, as far as it is known.

    Attributes:
        scope: The ASGI scope.
        verb: Kubernetes' verb, or the method in lower case.
        target: What it is about; None outside of resources.
        caller: Who called.
        user: As whom they acted.
        code: HTTP status of the answer.
        stage: `ResponseStarted` (of a watch) or `ResponseComplete`.
        received: When it arrived, in seconds since the epoch.
        request: Its body, when it was read.
    """

    scope: Scope
    verb: str
    target: Target | None
    caller: User
    user: User
    code: int
    stage: str
    received: float
    request: Request | None = None


class AuditLog:
    """Writes the log, and begins a new file when one is full.

    Args:
        config: Where, how much, and what.
    """

    def __init__(self, config: AuditConfig) -> None:
        self._config = config
        self._policy: Policy = config.policy
        self._file = -1
        self._size = 0
        self._complained = -_COMPLAIN_SECONDS
        self._broken_line = False
        self._open()

    def record(self, seen: Seen) -> None:
        """Write one line, if the policy says so."""
        level = self._policy.level(seen.user, seen.verb, seen.target, seen.scope["path"])
        if level == Level.NONE:
            return
        line = orjson.dumps(event(seen, level), default=str) + b"\n"
        try:
            if self._size + len(line) > self._config.file_bytes and self._size:
                self._rotate()
            if self._file < 0:
                self._open()
            self._write(b"\n" + line if self._broken_line else line)
        except OSError as error:
            self._broken_line = True
            if time.monotonic() >= self._complained + _COMPLAIN_SECONDS:
                self._complained = time.monotonic()
                _LOG.exception("the audit log cannot be written", extra={"error": error.strerror})

    def _write(self, line: bytes) -> None:
        done = os.write(self._file, line)
        self._size += done
        self._broken_line = done < len(line)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(self._config.path, flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        """`audit.log` becomes `audit.log.1`, and so on; the oldest goes."""
        path = self._config.path
        self.close()
        for number in range(self._config.kept_files, 0, -1):
            older = _numbered(path, number)
            newer = path if number == 1 else _numbered(path, number - 1)
            if newer.exists():
                newer.replace(older)
        if not self._config.kept_files:
            path.unlink()

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def event(seen: Seen, level: Level) -> Json:
    """The audit event of a request."""
    scope = seen.scope
    query: bytes = scope.get("query_string") or b""
    uri = scope["path"] + (f"?{query.decode('latin-1')}" if query else "")
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    agent = next((value for name, value in headers if name == b"user-agent"), b"")
    client = scope.get("client")
    found: Json = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level.name.title(),
        "auditID": str(uuid.uuid4()),
        "stage": seen.stage,
        "requestURI": uri[:_LONGEST],
        "verb": seen.verb,
        "user": _person(seen.caller),
        "sourceIPs": [client[0]] if client else [],
        "userAgent": agent.decode("latin-1")[:_LONGEST],
    }
    if seen.user != seen.caller:
        found["impersonatedUser"] = _person(seen.user)
    if seen.target is not None:
        found["objectRef"] = _reference(seen.target)
    if seen.code:
        found["responseStatus"] = {"metadata": {}, "code": seen.code}
    if level == Level.REQUEST and seen.request is not None and seen.request.sent:
        found["requestObject"] = _sent(seen.request)
    found["requestReceivedTimestamp"] = _moment(seen.received)
    found["stageTimestamp"] = _moment(time.time())
    return found


def _sent(request: Request) -> Any:
    """What was sent, or None when that cannot be read."""
    try:
        patched = request.method == "PATCH"
        sent = load_yaml(request.sent) if patched else request.decode(request.sent)
    except ApiError:
        return None
    return masked(sent)


def _person(user: User) -> Json:
    return {"username": user.name, "groups": sorted(user.groups)}


def _reference(target: Target) -> Json:
    found = {
        "resource": target.plural,
        "namespace": target.namespace,
        "name": target.name,
        "apiGroup": target.group,
        "apiVersion": target.version,
        "subresource": target.subresource,
    }
    return {name: value for name, value in found.items() if value}


def _moment(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )


def masked(value: Any, depth: int = 0) -> Any:
    """The value without what sounds like a secret."""
    if depth > _DEEPEST:
        return MASKED
    if isinstance(value, list):
        return [masked(item, depth + 1) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("Json", value)
    # An operation of a JSON patch names its place beside the value.
    hidden = {"value"} if _SECRET.search(str(found.get("path", ""))) else set[str]()
    return {
        name: MASKED
        if name in hidden or (_SECRET.search(name) and not isinstance(inner, dict | list))
        else masked(inner, depth + 1)
        for name, inner in found.items()
    }
