"""Probes say what is so: that the server answers, takes requests, and can write."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apiserver_client import running

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("path", "stopping", "code", "text"),
    [
        ("/livez", False, 200, "ok"),
        ("/livez?verbose", False, 200, "[+]ping ok\nlivez check passed\n"),
        ("/readyz", False, 200, "ok"),
        ("/readyz/database", False, 200, "ok"),
        ("/readyz/etcd?verbose", False, 200, "ok"),
        ("/readyz/nothing", False, 404, "404 page not found\n"),
        ("/livez/shutdown", False, 404, "404 page not found\n"),
        (
            "/readyz?verbose=true&exclude=database", False, 200,
            "[+]ping ok\n[+]database excluded: ok\n[+]shutdown ok\nreadyz check passed\n",
        ),
        (
            "/readyz", True, 500,
            "[+]ping ok\n[+]database ok\n[-]shutdown failed: reason withheld\n"
            "readyz check failed\n",
        ),
        ("/livez", True, 200, "ok"),
        ("/readyz?exclude=shutdown", True, 200, "ok"),
    ],
)  # fmt: skip
async def test_a_probe_is_told(
    tmp_path: Path, path: str, stopping: bool, code: int, text: str
) -> None:
    async with running(tmp_path) as (server, api):
        if stopping:
            server.stop()
        answer = await api("GET", path)
        assert (answer.code, answer.body.decode()) == (code, text)


FILLS_THE_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from tests.apiserver_client import running

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def most(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main(folder):
    async with running(Path(folder)) as (_, api):
        most(1)
        full = await api("GET", "/readyz")
        assert full.code == 500 and b"[-]database failed" in full.body, full.body
        assert (await api("GET", "/livez")).code == 200
        most(resource.RLIM_INFINITY)
        while (await api("GET", "/readyz")).code != 200:
            await asyncio.sleep(0.1)

asyncio.run(asyncio.wait_for(main(sys.argv[1]), 60))
"""


async def test_a_full_disk_is_not_ready(tmp_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FILLS_THE_DISK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
