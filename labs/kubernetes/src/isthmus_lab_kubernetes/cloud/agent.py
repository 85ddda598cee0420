"""The lab's agent beside a Nova that boots guests: draws networks, opens doors, and cleans up.

It lives as long as its parent, the compute service, and is started anew with it. When the whole
cloud has gone (the parent's own parent, too), nobody could remove the guests any more: it does.
"""

import asyncio
import fcntl
import os
import time
from contextlib import suppress

from isthmus_lab_kubernetes import cluster
from isthmus_lab_kubernetes.cloud.doors import Doors
from isthmus_lab_kubernetes.cloud.drawing import Drawing
from isthmus_lab_kubernetes.cloud.identity import Session
from isthmus_lab_kubernetes.cloud.neutron import read
from isthmus_lab_kubernetes.commands import say
from isthmus_lab_kubernetes.guests import Guest, guests
from isthmus_lab_kubernetes.processes import Process, parent_of
from isthmus_lab_kubernetes.settings import Lab, LabError

_LIVELY_SECONDS, _CALM_SECONDS, _LIVELY_FOR = 0.7, 3.0, 60.0


class Agent:
    """One lab's agent; `run` returns when the compute service has gone."""

    def __init__(self, lab: Lab, session: Session) -> None:
        self._lab, self._session = lab, session
        self._drawing = Drawing(lab)
        self._parent = Process.of(os.getppid())
        self._cloud = Process.of(parent_of(self._parent.pid))
        self._changed = time.monotonic()

    async def run(self) -> None:
        """Work until the parent ends; if another agent is at work, be ready to follow it."""
        self._lab.state.mkdir(parents=True, exist_ok=True)
        with (self._lab.state / "agent.lock").open("w") as lock:
            if not await self._locked(lock.fileno()):
                return
            doors = Doors(self._metadata)
            drawing = asyncio.create_task(self._draw_always())
            while self._parent.alive:
                # Only once the cloud's ports are known, which the first drawing finds out.
                if ports := self._ports():
                    await doors.keep(guests(self._lab), ports)
                await asyncio.sleep(0.3)
            # Nobody may draw beside the next agent, nor while everything is removed.
            await drawing
            doors.close()
        await self._outlive()

    async def _outlive(self) -> None:
        """Wait for the compute service's next agent, or for the end of the cloud, and clean up."""
        with (self._lab.state / "agent.lock").open("w") as lock:
            while True:
                await asyncio.sleep(0.5)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                if not self._cloud.alive:
                    cluster.down(self._lab)
                    return
                fcntl.flock(lock, fcntl.LOCK_UN)

    async def _locked(self, lock: int) -> bool:
        while self._parent.alive:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            await asyncio.sleep(1)
        return False

    def _ports(self) -> frozenset[int]:
        return self._session.loopback_ports() if self._session.endpoints else frozenset()

    async def _draw_always(self) -> None:
        complaint = ""
        seen: set[str] = set()
        while self._parent.alive:
            cards = {port.id for guest in guests(self._lab) for port in guest.ports}
            if cards != seen:
                seen, self._changed = cards, time.monotonic()
            try:
                if await asyncio.to_thread(self._draw, cards):
                    self._changed = time.monotonic()
                complaint = ""
            except Exception as error:  # noqa: BLE001  # Whatever it is, the next time it may pass.
                if repr(error) != complaint:
                    complaint = repr(error)
                    say(complaint)
            lively = time.monotonic() - self._changed < _LIVELY_FOR
            await asyncio.sleep(_LIVELY_SECONDS if lively and cards else _CALM_SECONDS)

    def _draw(self, cards: set[str]) -> bool:
        if not self._session.endpoints:
            self._session.get("network", "/v2.0/extensions")
        mine: list[Guest] = guests(self._lab)
        wanted = read(self._session, {port.network for guest in mine for port in guest.ports})
        return self._drawing.draw(wanted, cards)

    def _metadata(self, server: str) -> dict[str, str] | None:
        """The server's metadata as Nova has them now; None if it does not say."""
        try:
            return self._session.get("compute", f"/servers/{server}/metadata")["metadata"]
        except LabError:
            return None


def run(lab: Lab, session: Session) -> None:
    """Be the agent until the parent ends."""
    asyncio.run(Agent(lab, session).run())
