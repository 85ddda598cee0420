"""The embedded API beside a real kube-apiserver on etcd: the same requests, one after the other.

Each server is a process of its own; this one makes the load: TLS, 32 connections, custom objects of
1 kB. The real one needs `labs/kubernetes` (compiled once, where Go is) and is left out where that
is not there; its etcd does not wait for the disk, which the embedded API always does.

    python benchmarks/api.py                     both, and 100,000 objects in the embedded one
    python benchmarks/api.py --count 100 --listed 500 --large 0      a short look
"""

import argparse
import asyncio
import base64
import contextlib
import gc
import itertools
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvloop
import yaml
from support.wire import Connection, Target, body_of, connected, reading

SOURCES = Path(__file__).parents[1]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/bench.example.com/v1/namespaces/default/widgets"
CONNECTIONS = 32
WATCHERS, CHANGES, PAUSE_SECONDS = 200, 60, 0.05
TOKEN = "benchmark"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
FILLING = "x" * 700
"""Makes an object about 1 kB."""
LISTS, LISTED_BYTES = 9, 4096
"""How many lists are timed, and the most that an object takes there."""


# --- what is measured -----------------------------------------------------------------------------


@dataclass
class Figures:
    """What one server did, by name; units are in the names."""

    values: dict[str, float] = field(default_factory=dict[str, float])

    def times(self, name: str, seconds: list[float], unit: str = "ms") -> None:
        """Note median and 99th percentile."""
        ordered = sorted(seconds)
        self.values[f"{name} p50 {unit}"] = 1000 * statistics.median(ordered)
        self.values[f"{name} p99 {unit}"] = 1000 * ordered[int(0.99 * (len(ordered) - 1))]


def widget(name: str, size: int) -> bytes:
    """An object of about 1 kB."""
    return orjson.dumps(
        {
            "apiVersion": "bench.example.com/v1",
            "kind": "Widget",
            "metadata": {"name": name, "labels": {"app": "bench"}},
            "spec": {"size": size, "color": "red", "text": FILLING, "tags": ["a", "b"]},
        }
    )


def definition() -> bytes:
    """The kind of the objects."""
    spec = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 0},
            "color": {"type": "string", "default": "red"},
            "text": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return orjson.dumps(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.bench.example.com"},
            "spec": {
                "group": "bench.example.com",
                "scope": "Namespaced",
                "names": names,
                "versions": [version],
            },
        }
    )


async def furnish(target: Target) -> None:
    """Declare the kind, and wait until it is served."""
    async with connected(target, 1) as (connection,):
        await connection.ask("POST", DEFINITIONS, definition())
        for _ in range(600):
            if (await connection.ask("GET", WIDGETS))[0] == 200:
                return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"{target.name}: the kind is not served")


Ask = Callable[[Connection, int], Coroutine[Any, Any, tuple[int, bytes]]]


async def rate(target: Target, figures: Figures, name: str, numbers: range, ask: Ask) -> None:
    """Ask once for each number, over all connections; note requests a second and their times."""
    left, took = iter(numbers), list[float]()

    async def work(connection: Connection) -> None:
        for number in left:
            started = time.perf_counter()
            status, body = await ask(connection, number)
            took.append(time.perf_counter() - started)
            if status >= 300:
                raise RuntimeError(f"{target.name}: {name}: {status} {body[:300]!r}")

    async with connected(target, CONNECTIONS) as connections:
        started = time.perf_counter()
        await asyncio.gather(*map(work, connections))
        seconds = time.perf_counter() - started
    figures.values[f"{name} /s"] = len(numbers) / seconds
    figures.times(name, took)


async def writes_and_reads(target: Target, figures: Figures, count: int) -> None:
    """Creates, gets, merge patches and server-side apply."""
    manager = "fieldManager=other&force=true"

    def patch(number: int) -> bytes:
        return orjson.dumps({"spec": {"size": number + 1}})

    numbers = range(count)
    await rate(
        target, figures, "create", numbers, lambda c, n: c.ask("POST", WIDGETS, widget(f"w{n}", n))
    )
    await rate(target, figures, "get", numbers, lambda c, n: c.ask("GET", f"{WIDGETS}/w{n}"))
    await rate(
        target, figures, "merge patch", numbers,
        lambda c, n: c.ask("PATCH", f"{WIDGETS}/w{n}", patch(n), MERGE),
    )  # fmt: skip
    await rate(
        target, figures, "server-side apply", numbers,
        lambda c, n: c.ask("PATCH", f"{WIDGETS}/w{n}?{manager}", widget(f"w{n}", n + 2), APPLY),
    )  # fmt: skip


async def lists(target: Target, figures: Figures, present: int, wanted: int) -> int:
    """Fill up to `wanted` objects and list them all; how many there are now."""
    if present < wanted:
        filling = Figures()
        await rate(
            target, filling, "fill", range(present, wanted),
            lambda c, n: c.ask("POST", WIDGETS, widget(f"w{n}", n)),
        )  # fmt: skip
    took, spent, answer = list[float](), list[float](), memoryview(b"")
    with reading(target, (wanted + 1_000) * LISTED_BYTES) as reader:
        for _ in range(LISTS):
            started, spent_before = time.perf_counter(), time.process_time()
            answer = reader.get(WIDGETS)
            took.append(time.perf_counter() - started)
            spent.append(time.process_time() - spent_before)
        if body_of(answer).count(b'"uid"') < wanted:
            raise RuntimeError(f"{target.name}: the list is incomplete")
    figures.values[f"list of {wanted:,} ms"] = 1000 * statistics.median(took)
    figures.values[f"list of {wanted:,}, our reading alone ms"] = 1000 * statistics.median(spent)
    return max(present, wanted)


async def fan_out(target: Target, figures: Figures) -> None:
    """From sending a change to its arrival at each of many watchers."""
    sent: dict[int, float] = {}
    delays: list[float] = []
    path = f"{WIDGETS}?watch=1&fieldSelector=metadata.name%3Dw0"

    async def follow(connection: Connection) -> None:
        seen = 0
        while seen < CHANGES:
            for line in (await connection.chunk()).splitlines():
                arrived = time.perf_counter()
                marker = line.find(b'"size":10')
                if marker >= 0:
                    number = int(line[marker + 9 : marker + 14])
                    delays.append(arrived - sent[number])
                    seen += 1

    async with connected(target, WATCHERS) as watchers, connected(target, 1) as (writer,):
        for watcher in watchers:
            await watcher.begin("GET", path)
        following = [asyncio.create_task(follow(watcher)) for watcher in watchers]
        await asyncio.sleep(1)
        for number in range(10_000, 10_000 + CHANGES):
            sent[number] = time.perf_counter()
            body = orjson.dumps({"spec": {"size": int(f"10{number}")}})
            await writer.ask("PATCH", f"{WIDGETS}/w0", body, MERGE)
            await asyncio.sleep(PAUSE_SECONDS)
        async with asyncio.timeout(60):
            await asyncio.gather(*following)
    figures.times(f"{WATCHERS} watchers", delays)


async def measure(target: Target, count: int, listed: int) -> Figures:
    """Everything that both servers are asked for."""
    figures = Figures()
    await furnish(target)
    figures.values["memory, empty MiB"] = target.resident_mib
    await writes_and_reads(target, figures, count)
    for wanted in (max(count, listed // 5), max(count, listed)):
        count = await lists(target, figures, count, wanted)
    figures.values[f"memory, {count:,} objects MiB"] = target.resident_mib
    await fan_out(target, figures)
    return figures


# --- the servers ----------------------------------------------------------------------------------


async def serve(folder: str, port: str) -> None:
    """Be the embedded API until SIGTERM."""
    from isthmus.apiserver import ApiServer, ServerConfig

    server = await ApiServer.open(ServerConfig(Path(folder), port=int(port), admin_token=TOKEN))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    print(server.url, flush=True)
    await server.serve()
    await server.close()


@contextmanager
def embedded(folder: Path) -> Generator[Target]:
    """The embedded API as a process of its own."""
    command = [sys.executable, __file__, "--serve", str(folder), "0"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        tls = ssl.create_default_context(cafile=str(folder / "tls" / "ca.crt"))
        try:
            yield Target(name="embedded", url=url, tls=tls, token=TOKEN, pids=(process.pid,))
        finally:
            process.terminate()


@contextmanager
def real(folder: Path) -> Generator[Target | None]:
    """A kube-apiserver on etcd; None where there can be none."""
    sys.path.insert(0, str(SOURCES / "labs" / "kubernetes" / "src"))
    from isthmus_lab_kubernetes import building, plane
    from isthmus_lab_kubernetes.settings import NEWEST, Lab

    if not building.built(NEWEST):
        print("no kube-apiserver: `make test-labs` compiles one where Go is")
        yield None
        return
    lab = Lab(folder)
    try:
        config = yaml.safe_load(plane.up(lab).read_text())
        names = ("etcd", "apiserver")
        pids = [int((lab.plane / f"{name}.pid").read_text().split()[0]) for name in names]
        yield Target(
            name="kube-apiserver",
            url=config["clusters"][0]["cluster"]["server"],
            tls=_tls_of(config, lab.plane),
            pids=tuple(pids),
        )
    finally:
        # Its folder goes as well, so nothing need be saved; a busy one takes a minute to stop.
        for name in ("apiserver", "etcd"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pid = int((lab.plane / f"{name}.pid").read_text().split()[0])
                os.kill(pid, signal.SIGKILL)
        plane.down(lab)


def _tls_of(config: Any, folder: Path) -> ssl.SSLContext:
    """Trust and client certificate of a kubeconfig, whose files may be named or within."""

    def file(entry: Any, key: str) -> str:
        if named := entry.get(key):
            return str(folder / named)
        path = folder / f"benchmark-{key}"
        path.write_bytes(base64.b64decode(entry[f"{key}-data"]))
        return str(path)

    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=file(cluster, "certificate-authority"))
    tls.load_cert_chain(file(user, "client-certificate"), file(user, "client-key"))
    return tls


async def large(folder: Path, count: int) -> Figures:
    """Memory with many objects in the embedded API, and the time until it serves them again."""
    figures = Figures()
    with embedded(folder) as target:
        await furnish(target)
        await rate(
            target, figures, f"create, up to {count:,}", range(count),
            lambda c, n: c.ask("POST", WIDGETS, widget(f"w{n}", n)),
        )  # fmt: skip
        figures.values[f"memory, {count:,} objects MiB"] = target.resident_mib
    started = time.perf_counter()
    with embedded(folder) as target:
        async with connected(target, 1) as (connection,):
            status, _ = await connection.ask("GET", f"{WIDGETS}/w{count - 1}")
        figures.values[f"start with {count:,} objects s"] = time.perf_counter() - started
        assert status == 200
        figures.values[f"memory, {count:,} objects, after the start MiB"] = target.resident_mib
    return figures


# --- the answer -----------------------------------------------------------------------------------


def report(ours: Figures, theirs: Figures | None) -> str:
    """Both servers side by side."""
    rows = [f"{'':46}{'embedded':>12}" + (f"{'kube-apiserver':>16}{'ratio':>8}" if theirs else "")]
    for name, value in ours.values.items():
        row = f"{name:46}{value:>12,.1f}"
        if theirs is not None and name in theirs.values:
            other = theirs.values[name]
            row += f"{other:>16,.1f}{value / other if other else 0:>8.2f}"
        rows.append(row)
    return "\n".join(rows)


async def run(count: int, listed: int, many: int) -> str:
    """Measure, one server after the other."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        place = Path(folder)
        gc.disable()  # a pause of ours would look like one of theirs
        with real(place / "real") as target:
            theirs = await measure(target, count, listed) if target else None
        with embedded(place / "embedded") as target:
            ours = await measure(target, count, listed)
        if many:
            more = await large(place / "large", many)
            ours.values = dict(itertools.chain(ours.values.items(), more.values.items()))
    return report(ours, theirs)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=2_000, help="requests of each sort")
    parser.add_argument("--listed", type=int, default=10_000, help="objects of the longest list")
    parser.add_argument("--large", type=int, default=100_000, help="objects at last; 0: none")
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.serve:
            runner.run(serve(*options.serve))
        else:
            print(runner.run(run(options.count, options.listed, options.large)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
