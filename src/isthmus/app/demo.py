"""The story of the product, told by the product: each step is done, checked and timed.

It starts ``isthmus up --sandbox`` with a fresh state folder and is a client of it like any other:
what it shows is what a person with the command line sees. Any step that does not hold ends it.
"""

import asyncio
import base64
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from isthmus.api.meta import API_VERSION, Json
from isthmus.app.children import dying_with_us
from isthmus.app.sandbox import PROVIDER
from isthmus.faces.cli import kubeconfig, plan, write
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.manifests import Manifest
from isthmus.faces.cli.objects import condition, items, text
from isthmus.faces.cli.output import say
from isthmus.faces.paths import ORPHANS
from isthmus.ports import Api

NAMESPACE = "shop"
INSTANCE = "shop-db"
BINDING = "shop-web"
OFFERING = "aurora-postgresql"
_INSTANCES = Api(API_VERSION, "serviceinstances")
_BINDINGS = Api(API_VERSION, "servicebindings")
_OFFERINGS = Api(API_VERSION, "offerings", namespaced=False)
_PROVIDERS = Api(API_VERSION, "providers", namespaced=False)
_STACKS = Api(API_VERSION, "stacks")
_SECRETS = Api("v1", "secrets")
_NAMESPACES = "/api/v1/namespaces"
_START_SECONDS = 120
_STEP_SECONDS = 120
_STOP_SECONDS = 40


def run(*, once: bool) -> None:
    """Tell the story; then stay up until Ctrl-C, unless ``once``.

    Raises:
        CommandFailed: A step does not hold; the message says which and why.
    """
    with tempfile.TemporaryDirectory(prefix="isthmus-demo-") as folder:
        started = time.monotonic()
        log = Path(folder) / "up.log"
        with _server(Path(folder), log) as server:
            try:
                asyncio.run(_Story(Path(folder), server, started).tell())
            except CommandFailed as failure:
                _end(server)  # So that its log is complete.
                raise CommandFailed(f"{failure.message}\n{_tail(log)}", failure.code) from failure
            if not once:
                _stay(Path(folder), server)


def _stay(folder: Path, server: subprocess.Popen[bytes]) -> None:
    say("\nIt stays up until Ctrl-C; there is no web console yet. In another terminal:")
    say(f"  export KUBECONFIG={folder / 'kubeconfig'}")
    say(f"  export ISTHMUS_DATA_DIR={folder}  # for `isthmus lab`")
    say("  isthmus catalog list; kubectl get providers; isthmus lab status")
    try:
        server.wait()
    except KeyboardInterrupt:
        say("\nstopping; the state of the demo is removed")


@contextmanager
def _server(folder: Path, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run ``isthmus up --sandbox`` as a child that ends with us, however we end."""
    command = [sys.executable, "-m", "isthmus", "up", "--sandbox", "--port", "0"]
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*command, "--data-dir", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dying_with_us(signal.SIGTERM),
        )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)  # Does nothing to a child that has ended.
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
    return "\n".join(["the server's last words:", *(f"  {line}" for line in lines)])


class _Story:
    """The steps, in order; each one relies on those before."""

    def __init__(self, folder: Path, server: subprocess.Popen[bytes], started: float) -> None:
        self._folder = folder
        self._server = server
        self._started = started
        self._number = 0

    async def tell(self) -> None:
        """Do everything and say how long each step took."""
        say("Isthmus tells its story on a simulated AWS with real databases.\n")
        await self._step("Start API, controllers and the AWS lab in one go", self._start)
        async with Client(self._target()) as client:
            self._client = client
            await self._step("Look at the catalog", self._catalog)
            await self._step("Plan an Aurora PostgreSQL database", self._plan)
            await self._step("Order it and wait until it is ready", self._order)
            await self._step("Bind: a credential for one consumer", self._bind)
            await self._step("Log in with it over verified TLS and run SQL", self._log_in)
            await self._step("Plan a change, and apply it", self._change)
            await self._step("Unbind: the credential is worthless now", self._unbind)
            await self._step("Delete the database", self._delete)
            await self._step("Look for anything left behind", self._orphans)
        say(f"\nProven in {time.monotonic() - self._started:.1f} s.")

    async def _step(self, title: str, action: Callable[[], Awaitable[None]]) -> None:
        self._number += 1
        say(f"{self._number}. {title}")
        began = time.monotonic()
        try:
            await action()
        except psycopg.Error as exc:
            raise CommandFailed(f"step {self._number} ({title}): {exc}", Exit.FAILED) from exc
        except CommandFailed as failure:
            message = f"step {self._number} ({title}): {failure.message}"
            raise CommandFailed(message, failure.code) from failure
        say(f"   ... {time.monotonic() - began:.1f} s\n")

    # --- the steps -------------------------------------------------------------------------------

    async def _start(self) -> None:
        file = self._folder / "kubeconfig"
        await _until(file.exists, self._alive, _START_SECONDS, "the API does not start")
        async with Client(self._target()) as client:
            await self._provider_ready(client)

    async def _provider_ready(self, client: Client) -> None:
        deadline = time.monotonic() + _START_SECONDS
        said = "it is not registered"
        while time.monotonic() < deadline:
            self._alive()
            provider = await client.find(_PROVIDERS, "", PROVIDER)
            ready = condition(provider, "Ready")
            if ready.get("status") == "True":
                account = text(provider, "status.account")
                say(f"   Provider {PROVIDER}: account {account}, simulated")
                return
            said = str(ready.get("message") or said)
            await asyncio.sleep(0.1)
        raise CommandFailed(f"Provider {PROVIDER} is not ready: {said}", Exit.TIMEOUT)

    async def _catalog(self) -> None:
        found = await self._client.list(_OFFERINGS)
        names = ", ".join(text(one, "metadata.name") for one in found)
        say(f"   {len(found)} offerings: {names}")
        _expect(OFFERING in names, f"the catalog has no {OFFERING}")

    async def _plan(self) -> None:
        await self._client.request("POST", _NAMESPACES, body=_namespace())
        answer = await plan.ask(self._client, self._instance())
        _show(answer)
        _expect(answer["intent"] == "create", "the plan is not to create")

    async def _order(self) -> None:
        await self._apply(self._instance())
        stack = await self._client.get(_STACKS, NAMESPACE, INSTANCE)
        say(f"   native stack {text(stack, 'status.nativeStatus')}")

    async def _bind(self) -> None:
        await self._apply(
            {
                "apiVersion": API_VERSION,
                "kind": "ServiceBinding",
                "metadata": {"name": BINDING, "namespace": NAMESPACE},
                "spec": {"instance": INSTANCE, "parameters": {"access": "readwrite"}},
            }
        )
        secret = await self._client.get(_SECRETS, NAMESPACE, BINDING)
        values = {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
        say(f"   Secret {BINDING}: {', '.join(sorted(values))}")
        self._values = values

    async def _log_in(self) -> None:
        rows = await asyncio.to_thread(self._sql)
        say(f"   as {self._values['username']}: SELECT * FROM orders -> {rows}")
        _expect(rows == [(1, "a lamp")], "the rows are not those written")

    def _sql(self) -> list[tuple[object, ...]]:
        with self._connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS orders (id int, item text)")
            connection.execute("INSERT INTO orders VALUES (1, 'a lamp')")
            return connection.execute("SELECT * FROM orders").fetchall()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Log in as the consumer would: the server's certificate and name are checked."""
        authority = self._folder / "ca.crt"
        authority.write_text(self._values["ca.crt"])
        return psycopg.connect(
            host=self._values["host"],
            port=int(self._values["port"]),
            dbname=self._values["database"],
            user=self._values["username"],
            password=self._values["password"],
            sslmode="verify-full",
            sslrootcert=str(authority),
            connect_timeout=10,
        )

    async def _change(self) -> None:
        manifest = self._instance(maxCapacity=4)
        answer = await plan.ask(self._client, manifest)
        _show(answer)
        _expect(answer["intent"] == "change", "the plan is not to change")
        await self._apply(manifest)
        stack = await self._client.get(_STACKS, NAMESPACE, INSTANCE)
        status = text(stack, "status.nativeStatus")
        say(f"   native stack {status}")
        _expect(status == "UPDATE_COMPLETE", "the native stack was not updated")

    async def _unbind(self) -> None:
        await self._gone(_BINDINGS, "ServiceBinding", BINDING)
        try:
            (await asyncio.to_thread(self._connect)).close()
        except psycopg.OperationalError as exc:
            say(f"   the log-in is refused: {str(exc).strip().splitlines()[-1]}")
            return
        raise CommandFailed("the credential still works after unbinding", Exit.FAILED)

    async def _delete(self) -> None:
        await self._gone(_INSTANCES, "ServiceInstance", INSTANCE)

    async def _orphans(self) -> None:
        answer = await self._client.request("GET", ORPHANS)
        left, skipped = items(answer, "orphans"), items(answer, "skipped")
        _expect(not left and not skipped, f"left behind: {left}; not searched: {skipped}")
        say("   no orphans")

    # --- helpers ---------------------------------------------------------------------------------

    def _target(self) -> kubeconfig.Target:
        return kubeconfig.load(str(self._folder / "kubeconfig"), "", NAMESPACE)

    def _alive(self) -> None:
        if self._server.poll() is not None:
            raise CommandFailed("`isthmus up --sandbox` ended by itself", Exit.UNAVAILABLE)

    def _instance(self, **parameters: object) -> Json:
        return {
            "apiVersion": API_VERSION,
            "kind": "ServiceInstance",
            "metadata": {"name": INSTANCE, "namespace": NAMESPACE},
            "spec": {"offering": OFFERING, "plan": "dev", "parameters": parameters},
        }

    async def _apply(self, body: Json) -> None:
        manifest = Manifest(source="demo", body=body)
        known, obj = await write.apply_one(self._client, manifest, force=False)
        await write.wait_for(self._client, known, obj, _STEP_SECONDS)

    async def _gone(self, api: Api, kind: str, name: str) -> None:
        await write.delete_and_wait(self._client, (kind, api), NAMESPACE, name, _STEP_SECONDS)


def _namespace() -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _show(answer: Json) -> None:
    for line in plan.lines(answer):
        say(f"   {line}")
    _expect(answer["allowed"], "the plan says that it may not happen")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CommandFailed(otherwise, Exit.FAILED)


async def _until(
    holds: Callable[[], bool], alive: Callable[[], None], seconds: float, otherwise: str
) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        alive()
        if time.monotonic() > deadline:
            raise CommandFailed(otherwise, Exit.TIMEOUT)
        await asyncio.sleep(0.05)
