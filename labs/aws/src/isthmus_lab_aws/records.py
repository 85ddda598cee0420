"""What the lab's own services remember: records by account, region, kind and name, in JSON types.

Kept over a restart as part of the lab's state (`Saved`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

from isthmus_lab_aws.resource import Place, Saved

Record = dict[str, Any]


class Records:
    """The records of one service. Hold `lock` for a change of several steps."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._all: dict[str, dict[str, Record]] = {}
        self.lock = threading.RLock()

    def of(self, place: Place, kind: str) -> dict[str, Record]:
        """All records of a kind at a place, by name; changes to it are kept."""
        with self.lock:
            return self._all.setdefault(f"{place.account}/{place.region}/{kind}", {})

    def everywhere(self) -> Iterator[tuple[Place, str, str, Record]]:
        """Every record as place, kind, name and record."""
        with self.lock:
            shelves = [(shelf, dict(records)) for shelf, records in self._all.items()]
        for shelf, records in shelves:
            account, region, kind = shelf.split("/", 2)
            for name, record in records.items():
                yield Place(account, region), kind, name, record

    def saved(self) -> Saved:
        """How the engine keeps these records."""
        return Saved(self._service, self._dump, self._load)

    def _dump(self) -> bytes:
        with self.lock:
            return json.dumps(self._all).encode()

    def _load(self, body: bytes) -> None:
        with self.lock:
            self._all = json.loads(body)
