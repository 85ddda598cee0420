"""The composition root: makes the lab's parts, joins them, and runs the server."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from isthmus_lab_aws import gateway, inventory, lab, schemas, stack_requests, types
from isthmus_lab_aws.accounts import Accounts
from isthmus_lab_aws.calls import Calls
from isthmus_lab_aws.control import Control
from isthmus_lab_aws.engine import Engine
from isthmus_lab_aws.faults import Faults
from isthmus_lab_aws.front import Front
from isthmus_lab_aws.gate import Gate
from isthmus_lab_aws.journal import Journal
from isthmus_lab_aws.operations import Operations
from isthmus_lab_aws.resource import Extension
from isthmus_lab_aws.rights import Rights
from isthmus_lab_aws.snapshots import Snapshots
from isthmus_lab_aws.stack_requests import Tokens
from isthmus_lab_aws.templates import Templates


class _Server(uvicorn.Server):
    """A server that leaves signals to the lab: uvicorn would raise them again at the end."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """End once the requests under way are answered, within a second."""
        self.should_exit = True


class Assembly:
    """The joined parts of one lab."""

    def __init__(self, accounts: list[str], lint: bool) -> None:
        gate = Gate()
        self._wanted = accounts
        self._templates, rights, tokens = Templates(lint), Rights(), Tokens()
        own = Extension(
            hooks=(tokens.hook(), rights.hook()),
            saved=(tokens.saved(), rights.saved(), self._templates.saved()),
        )
        self._extensions: list[Extension] = [own, *types.extensions()]
        self._journal = Journal()
        self._snapshots = Snapshots(lab.current().state / "state.db", gate, self._dumps)
        faults, calls = Faults(), Calls()
        self.engine = Engine(gate, faults, self._snapshots.changed)
        self.operations = Operations(self.engine, self._journal, self._snapshots.changed)
        self.control = Control(faults, calls)
        self.front = Front(self.control, calls, faults, self._snapshots)
        self.accounts = Accounts(lab.current().state / "credentials.json")
        self.control.add_account = self._add_account
        self.control.page("health", self._health)
        self.control.page("state", self._state)
        for extension in self._extensions:
            self.engine.add(extension.types)
            self.front.add(extension)
        self._join_checks(rights)

    def _join_checks(self, rights: Rights) -> None:
        self.front.guard_by(self.engine.import_gatekeeper)
        self.front.guard_by(stack_requests.state_gatekeeper)
        self.front.guard_by(rights.gatekeeper)
        self.front.guard_by(self._templates.gatekeeper)
        self.front.guard_by(stack_requests.policy_gatekeeper)
        self.operations.on_start(rights.operation_started)
        self.engine.refuse_by(rights.refusal)
        self.engine.refuse_by(stack_requests.policy_refusal)
        self.engine.refuse_by(schemas.wrong_properties)

    async def run(self, listener: socket.socket, ready: Callable[[list[str]], None]) -> None:
        """Restore, serve, resume; returns once the server was told to stop."""
        self._load(self._snapshots.load())
        self.operations.install()
        self._snapshots.start()
        config = uvicorn.Config(
            self.front,
            log_level="warning",
            timeout_keep_alive=75,
            lifespan="on",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn has no event.
            await asyncio.sleep(0.01)
        for account in self._wanted:
            await self.accounts.ensure(account)
        self._snapshots.changed()
        await self._snapshots.durable()
        self.operations.resume()
        for extension in self._extensions:
            if extension.started is not None:
                await asyncio.to_thread(extension.started)
        ready(self.accounts.numbers())
        warming = asyncio.create_task(self._templates.warm_up())
        await serving
        warming.cancel()
        lab.current().closing.set()
        for extension in self._extensions:
            if extension.stopping is not None:
                await asyncio.to_thread(extension.stopping)

    def _dumps(self) -> dict[str, Callable[[], bytes]]:
        own = {
            f"own/{saved.name}": saved.dump
            for extension in self._extensions
            for saved in extension.saved
        }
        return {**gateway.dumps(), **own, "journal": self._journal.dump}

    def _load(self, saved: Mapping[str, bytes]) -> None:
        gateway.load(saved)
        for extension in self._extensions:
            for part in extension.saved:
                if f"own/{part.name}" in saved:
                    part.load(saved[f"own/{part.name}"])
        if "journal" in saved:
            self._journal.load(saved["journal"])

    async def _add_account(self, account: str) -> Mapping[str, str]:
        keys = await self.accounts.ensure(account)
        self._snapshots.changed()
        await self._snapshots.durable()
        return {"account": account, **keys}

    def _state(self) -> Mapping[str, Any]:
        more = [
            row
            for extension in self._extensions
            if extension.inventory is not None
            for row in extension.inventory()
        ]
        return {"resources": inventory.resources(more)}

    def _health(self) -> Mapping[str, Any]:
        health: dict[str, Any] = {
            "status": "degraded" if self._snapshots.failing else "ok",
            "unsaved": self._snapshots.failing,
            "operations": len(self._journal.all()),
            "accounts": self.accounts.numbers(),
        }
        for extension in self._extensions:
            if extension.health is not None:
                health.update(extension.health())
        return health


def assemble(accounts: list[str], *, lint: bool = True) -> Assembly:
    """A lab with these accounts, ready to run. `lint` checks templates before they are accepted."""
    return Assembly(accounts, lint)
