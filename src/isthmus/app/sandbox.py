"""The AWS lab beside ``isthmus up``: a child process on loopback and a Provider for it."""

import asyncio
import base64
import json
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from isthmus.api.meta import API_VERSION, SIMULATED, Json
from isthmus.app import install
from isthmus.app.children import dying_with_us
from isthmus.faces.cli import lab
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.output import note
from isthmus.ports import Api, Store

log = structlog.get_logger(__name__)

PROVIDER = "aws-sandbox"
REGION = "us-east-1"
_PROVIDERS = Api(API_VERSION, "providers", namespaced=False)
_SECRETS = Api("v1", "secrets")
_READY_SECONDS = 120
_STOP_SECONDS = 15


class Sandbox:
    """The lab as our child: it starts with us and ends with us, however we end.

    Args:
        folder: State folder of the lab.
        store: Where the Provider is registered.
        namespace: Namespace of its Secret.
        scale: Share of AWS's delays that the lab takes; None: the lab's own default.
    """

    def __init__(self, folder: Path, store: Store, namespace: str, scale: float | None) -> None:
        self._folder = folder
        self._store = store
        self._namespace = namespace
        self._scale = scale

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start the lab and register it; leaving the block ends the lab.

        Raises:
            CommandFailed: The lab is not installed, or does not start.
        """
        process = await self._start()
        try:
            ready = await self._ready(process)
            await self._register(ready)
            note(f"sandbox: Provider {PROVIDER} is a simulated AWS at {ready['url']}")
            yield
        finally:
            await _stop(process)

    async def _start(self) -> asyncio.subprocess.Process:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await _former_gone(self._folder)
        # What was handed out with the former port stays true, unless somebody else has it now.
        command = lab.command(self._folder, port=_former_port(self._folder), or_any_port=True)
        if self._scale is not None:
            command += ["--scale", str(self._scale)]
        (self._folder / lab.READY_FILE).unlink(missing_ok=True)
        descriptor = os.open(
            self._folder / "lab.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                preexec_fn=dying_with_us(signal.SIGKILL),  # Its state survives that.
                start_new_session=True,  # Ctrl-C is ours to pass on, in our own order.
            )
        finally:
            os.close(descriptor)

    async def _ready(self, process: asyncio.subprocess.Process) -> Json:
        file = self._folder / lab.READY_FILE
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                while process.returncode is None:
                    if file.exists():
                        return json.loads(file.read_text())
                    await asyncio.sleep(0.05)
        raise CommandFailed(
            f"--sandbox: the lab did not start; its log: {self._folder / 'lab.log'}"
        )

    async def _register(self, ready: Json) -> None:
        health = await asyncio.to_thread(lab.ask, self._folder, "GET", "health")
        authority = await asyncio.to_thread(Path(health["certificateAuthority"]).read_text)
        await install.ensure(self._store, _SECRETS, self._secret(_keys(ready)))
        await install.ensure(self._store, _PROVIDERS, self._provider(ready["url"], authority))

    def _secret(self, keys: Json) -> Json:
        values = {
            "access-key-id": keys["access_key_id"],
            "secret-access-key": keys["secret_access_key"],
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": PROVIDER, "namespace": self._namespace},
            "type": "Opaque",
            "data": {name: base64.b64encode(v.encode()).decode() for name, v in values.items()},
        }

    def _provider(self, url: str, authority: str) -> Json:
        return {
            "apiVersion": API_VERSION,
            "kind": "Provider",
            "metadata": {"name": PROVIDER, "labels": {SIMULATED: "true"}},
            "spec": {
                "driver": "aws",
                "region": REGION,
                "adoptionSelector": {},  # Nothing real can be taken over in a lab.
                "credentialsSecret": {"namespace": self._namespace, "name": PROVIDER},
                "settings": {"endpointUrl": url, "databaseCaBundle": authority},
            },
        }


def _keys(ready: Json) -> Json:
    """Return the administrator's keys of the lab's first account."""
    accounts: Json = json.loads(Path(ready["credentials"]).read_text())["accounts"]
    return accounts[ready["accounts"][0]]


def _former(folder: Path) -> Json:
    """Return what the last lab here said when it was ready."""
    try:
        return json.loads((folder / lab.READY_FILE).read_text())
    except (OSError, ValueError):
        return {}


async def _former_gone(folder: Path) -> None:
    """Wait for the lab of a server that was killed: the kernel is about to end it.

    Raises:
        CommandFailed: It stays.
    """
    process = _former(folder).get("pid")
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_lab(process):
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"--sandbox: process {process} is a lab that still uses {folder}; stop it first",
                Exit.CONFLICT,
            )
        await asyncio.sleep(0.05)


def _is_lab(process: object) -> bool:
    """Tell whether a lab, and not somebody else, runs under this process id."""
    try:
        return lab.MODULE.encode() in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _former_port(folder: Path) -> int:
    """Return the port of the last start; 0 where there was none."""
    try:
        return int(str(_former(folder).get("url", "")).rpartition(":")[2])
    except ValueError:
        return 0


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        log.warning("the lab did not stop in time")
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
