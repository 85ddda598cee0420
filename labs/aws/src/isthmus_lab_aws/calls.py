"""The journal of API calls, so that a test can fail every outward call once in turn.

It keeps names and outcomes only: no parameters, no bodies, no credentials.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from isthmus_lab_aws.resource import Call

KEPT = 50_000
"""Calls remembered; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call that was answered, or broken off (status 0)."""

    number: int
    account: str
    region: str
    service: str
    action: str
    status: int
    fault: str = ""


class Calls:
    """What was called, in the order of arrival at the end."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._count = 0

    def note(self, call: Call, status: int, fault: str) -> None:
        """Add a call with its HTTP status and the effect of the fault that struck it, if any."""
        place = call.place
        with self._lock:
            self._count += 1
            self._entries.append(
                Entry(
                    self._count,
                    place.account,
                    place.region,
                    call.service,
                    call.action,
                    status,
                    fault,
                )
            )

    def since(self, number: int) -> list[dict[str, Any]]:
        """The calls after that number, oldest first, as JSON."""
        with self._lock:
            return [asdict(entry) for entry in self._entries if entry.number > number]
