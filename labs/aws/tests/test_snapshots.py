"""What is saved of stack operations agrees with itself at every moment."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

from isthmus_lab_aws.gate import Gate
from isthmus_lab_aws.snapshots import Snapshots


def saved(path: Path) -> tuple[list[str], list[str]]:
    """The stacks at work and the operations in the journal, as a start after a kill finds them."""
    state = Snapshots(path, Gate(), dict).load()
    return json.loads(state["service/cloudformation"]), json.loads(state["journal"])


async def test_an_operation_that_ends_while_it_is_saved_is_saved_whole(tmp_path: Path):
    """Or a deletion would stay under way for ever, with nobody who goes on with it."""
    stacks, journal, reading = ["s"], ["s"], asyncio.Event()
    loop = asyncio.get_running_loop()

    def dump_stacks() -> bytes:
        body = json.dumps(stacks).encode()
        loop.call_soon_threadsafe(reading.set)
        time.sleep(0.2)  # Long enough for the loop to end the operation meanwhile, if it may.
        return body

    dumps = {
        "service/cloudformation": dump_stacks,
        "journal": lambda: json.dumps(journal).encode(),
    }
    snapshots = Snapshots(tmp_path / "state.db", Gate(), lambda: dict(dumps))
    snapshots.load()
    snapshots.start()
    snapshots.changed()
    durable = asyncio.create_task(snapshots.durable())
    await reading.wait()
    stacks.clear()
    journal.clear()
    await durable
    assert saved(tmp_path / "state.db") == (["s"], ["s"])


async def test_a_loop_that_waits_at_the_gate_is_let_through(tmp_path: Path):
    """A stack's deletion takes a promised snapshot on the loop, as a step of its own."""
    gate, dumped = Gate(), threading.Event()
    dumps = {"service/cloudformation": lambda: b"[]", "other": lambda: _noted(dumped)}
    snapshots = Snapshots(tmp_path / "state.db", gate, lambda: dict(dumps))
    snapshots.load()
    snapshots.start()
    for _ in range(20):
        snapshots.changed()
        step(gate)
    await asyncio.wait_for(snapshots.durable(), 30)
    assert dumped.is_set()


def step(gate: Gate) -> None:
    """A step on the loop, which has no turn then; a snapshot may hold the gate already."""
    time.sleep(0.005)
    with gate.shared():
        pass


def _noted(seen: threading.Event) -> bytes:
    seen.set()
    return b"{}"
