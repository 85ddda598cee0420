"""A program that writes until it is killed: every acknowledged write goes to its standard output.

Usage: ``python apiserver_writer.py FOLDER ROUND``. Lines are `name version` for a write and
`gone name` for a deletion that was acknowledged.
"""

import asyncio
import sys
from pathlib import Path

from isthmus.apiserver import ApiServer, ServerConfig
from tests.apiserver_client import Client

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def write(api: Client, worker: str) -> None:
    """Create, change and delete without end."""
    for number in range(1_000_000):
        name = f"{worker}-{number}"
        made = await api("POST", CONFIG_MAPS, {"metadata": {"name": name}, "data": {"n": "0"}})
        body = made.json
        acknowledge(f"{name} {body['metadata']['resourceVersion']}")
        body["data"] = {"n": "1"}
        changed = await api("PUT", f"{CONFIG_MAPS}/{name}", body)
        acknowledge(f"{name} {changed.json['metadata']['resourceVersion']}")
        if number % 3 == 0:
            await api("DELETE", f"{CONFIG_MAPS}/{name}")
            acknowledge(f"gone {name}")


def acknowledge(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(folder: str, round_: str) -> None:
    server = await ApiServer.open(ServerConfig(Path(folder), admin_token="admin"))
    api = Client(server, "admin")
    await asyncio.gather(*(write(api, f"r{round_}w{worker}") for worker in range(8)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
