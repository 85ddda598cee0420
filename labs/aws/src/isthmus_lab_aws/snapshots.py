"""What the lab acknowledged survives `kill -9`: state is saved before an answer goes out.

One thread writes. It takes everything that changed since its last turn into one SQLite
transaction, so that the journal and the resources it speaks of never part; callers that wait
meanwhile share the next turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from isthmus_lab_aws.gate import Gate

log = logging.getLogger(__name__)

_PATIENCE = 0.2
"""Seconds that the loop may take to come to its next turn while nobody passes the gate."""
_BREATH = 0.02
"""Seconds for those at the gate, before it is closed again."""
Result = TypeVar("Result")
Dumps = Callable[[], dict[str, Callable[[], bytes]]]

STACKS = frozenset({"service/cloudformation", "journal"})
"""Large, and changed by stack operations only: a call of another service does not save them.

Operations begin and end on the event loop, in the one and in the other: read between two of its
turns, neither has an operation that the other does not know of.
"""


class Snapshots:
    """Keeps named bytes in `path`. `dumps` names what there is to save now, and how."""

    def __init__(self, path: Path, gate: Gate, dumps: Dumps) -> None:
        self._path = path
        self._gate = gate
        self._dumps = dumps
        self._digests: dict[str, bytes] = {}
        self._turn = threading.Condition()
        self._changes = 0
        self._spared: frozenset[str] = STACKS
        self._saved = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.failing: dict[str, str] = {}
        """What could not be saved, and why; shown by `/_lab/health`."""

    def load(self) -> dict[str, bytes]:
        """Everything saved by name; empty at the first start."""
        with closing(self._connect()) as database:
            rows = database.execute("SELECT name, body FROM state").fetchall()
        return {str(name): bytes(body) for name, body in rows}

    def start(self) -> None:
        """Begin to save. Call it on the event loop."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._write, args=(loop,), name="snapshots", daemon=True).start()

    def changed(self, *, stacks: bool = True) -> None:
        """Note that something is to be saved; any thread may call it.

        `stacks` is false where no stack operation can have changed.
        """
        with self._turn:
            self._changes += 1
            if stacks:
                self._spared = frozenset()
            self._turn.notify_all()

    async def durable(self) -> None:
        """Return once everything changed up to now is saved."""
        with self._turn:
            if self._saved >= self._changes:
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._changes, future))
        await future

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None)
        # WAL with NORMAL survives the death of the process, if not of the machine.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, body BLOB)")
        return database

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        with closing(self._connect()) as database:
            while True:
                with self._turn:
                    while self._saved >= self._changes:
                        self._turn.wait()
                    upto, spared = self._changes, self._spared
                    self._spared = STACKS
                while (fresh := self._collected(spared, loop)) is None:
                    time.sleep(_BREATH)
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", fresh.items())
                database.execute("COMMIT")
                self._finish(upto)

    def _collected(
        self, spared: frozenset[str], loop: asyncio.AbstractEventLoop
    ) -> dict[str, bytes] | None:
        """Return what differs from what is saved; None where the loop gives no turn for it."""
        dumps = {name: dump for name, dump in self._dumps().items() if name not in spared}
        of_stacks = {name: dumps.pop(name) for name in STACKS & dumps.keys()}
        with self._gate.alone():
            bodies = _between_turns(loop, lambda: self._dump_all(of_stacks)) if of_stacks else {}
            if bodies is None:
                return None
            bodies |= self._dump_all(dumps)
        fresh: dict[str, bytes] = {}
        for name, body in bodies.items():
            digest = hashlib.blake2b(body, digest_size=16).digest()
            if self._digests.get(name) != digest:
                self._digests[name] = digest
                fresh[name] = body
        return fresh

    def _dump_all(self, dumps: dict[str, Callable[[], bytes]]) -> dict[str, bytes]:
        bodies = {name: self._dump(name, dump) for name, dump in dumps.items()}
        return {name: body for name, body in bodies.items() if body is not None}

    def _dump(self, name: str, dump: Callable[[], bytes]) -> bytes | None:
        for _ in range(20):
            try:
                body = dump()
            except RuntimeError:
                continue  # A request changed a dictionary while it was read: read it again.
            except Exception as error:  # One service must not spare the others.
                if name not in self.failing:
                    log.exception("state of %s cannot be saved", name)
                self.failing[name] = f"{type(error).__name__}: {error}"
                return None
            self.failing.pop(name, None)
            return body
        self.failing[name] = "changed too fast to be read"
        return None

    def _finish(self, upto: int) -> None:
        with self._turn:
            self._saved = upto
            ready = [entry for entry in self._waiting if entry[0] <= upto]
            self._waiting = [entry for entry in self._waiting if entry[0] > upto]
        for _, future in ready:
            future.get_loop().call_soon_threadsafe(_release, future)


def _between_turns(loop: asyncio.AbstractEventLoop, act: Callable[[], Result]) -> Result | None:
    """Have the loop do it; None where the loop itself waits for the gate that is held here."""
    done: Future[Result] = Future()

    def run() -> None:
        if done.set_running_or_notify_cancel():
            done.set_result(act())

    try:
        loop.call_soon_threadsafe(run)
    except RuntimeError:
        raise SystemExit from None  # The loop is closed: so the lab has ended.
    try:
        return done.result(_PATIENCE)
    except TimeoutError:
        return None if done.cancel() else done.result()


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
