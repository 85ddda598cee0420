"""Waiting for an object, with a line for every step that a person would want to know of."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import cast

from isthmus.api.meta import Json
from isthmus.errors import (
    AlreadyExists,
    ApprovalRequired,
    DeletionBlocked,
    Forbidden,
    InvalidSpec,
    StackFailed,
    StateForbids,
)
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.output import note

_INTERVAL_SECONDS = 0.3
_HOPELESS = frozenset(
    kind.reason
    for kind in (
        AlreadyExists,
        ApprovalRequired,
        DeletionBlocked,
        Forbidden,
        InvalidSpec,
        StackFailed,
        StateForbids,
    )
)
"""Reasons that no waiting cures: somebody must change something first."""

Look = Callable[[], Awaitable[Json | None]]
Detail = Callable[[], Awaitable[str]]
"""What goes on below the object, in a few words."""


async def _nothing() -> str:
    return ""


async def until_ready(
    what: str, look: Look, timeout_seconds: float, detail: Detail = _nothing
) -> Json:
    """Wait until an object is ready for its newest spec; print each new reason on the way.

    Raises:
        CommandFailed: It failed, it vanished, or the time is over.
    """
    said = ""
    deadline = time.monotonic() + timeout_seconds
    while True:
        obj = await look()
        if obj is None:
            raise CommandFailed(f"{what} was deleted while we waited for it", Exit.NOT_FOUND)
        done, current, reason, message = _state(obj)
        if done:
            note(f"{what} is ready")
            return obj
        text = f"{what}: {reason}" + (f": {message}" if message else "")
        if current and reason in _HOPELESS:
            raise CommandFailed(f"{text}\nhint: isthmus why {what}", Exit.FAILED)
        below = await detail() if current else ""
        said = _progress(f"{what}: {below}" if below else text, said)
        await _pause(deadline, f"{text}; it may still come: wait with --timeout", what)


async def until_gone(
    what: str, look: Look, timeout_seconds: float, *, patient: bool = False
) -> None:
    """Wait until an object is gone; print what keeps it.

    Args:
        what: How messages call it.
        look: Reads it.
        timeout_seconds: When to give up.
        patient: Wait even while the deletion is blocked: the blocker may be on its way out.

    Raises:
        CommandFailed: Something blocks it, or the time is over.
    """
    said = ""
    deadline = time.monotonic() + timeout_seconds
    while (obj := await look()) is not None:
        _, current, reason, message = _state(obj)
        text = f"{what}: deleting" + (f": {message}" if message and current else "")
        if reason == DeletionBlocked.reason and not patient:
            raise CommandFailed(f"{what}: {reason}: {message}\nhint: isthmus why {what}")
        said = _progress(text, said)
        await _pause(deadline, f"{text}; the deletion goes on: wait with --timeout", what)
    note(f"{what} is gone")


async def _pause(deadline: float, text: str, what: str) -> None:
    if time.monotonic() >= deadline:
        raise CommandFailed(f"timed out: {text}\nhint: isthmus why {what}", Exit.TIMEOUT)
    await asyncio.sleep(_INTERVAL_SECONDS)


def _progress(text: str, said: str) -> str:
    if text != said:
        note(text)
    return text


def _state(obj: Json) -> tuple[bool, bool, str, str]:
    """Return whether it is ready, whether the status speaks of the spec, reason and message."""
    status: Json = obj.get("status") or {}
    generation = obj["metadata"].get("generation", 0)
    conditions = cast("list[Json]", status.get("conditions") or [])
    ready = next((c for c in conditions if c["type"] == "Ready"), None)
    if ready is None:
        return False, False, "waiting", "no controller has looked at it yet"
    current = ready.get("observedGeneration", 0) == generation
    if current and ready["status"] == "True":
        return True, True, "Ready", ""
    if not current:
        return False, False, "waiting", "the change has not been looked at yet"
    return False, True, ready["reason"], str(ready.get("message") or "")
