"""Starts the lab: `python -m isthmus_lab_aws --port 0 --state DIR`.

It listens on loopback only and prints one line of JSON once it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from isthmus_lab_aws import gateway, lab, ministack
from isthmus_lab_aws.accounts import DEFAULT_ACCOUNTS
from isthmus_lab_aws.lab import DEFAULT_SCALE, Lab


def main(arguments: list[str] | None = None) -> None:
    """Run the lab until it is told to stop, which ends the process."""
    options = _parser().parse_args(arguments)
    state: Path = options.state
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    listener = _listen(options.port, elsewhere=options.or_any_port)
    port = int(listener.getsockname()[1])
    # Before ministack is imported: it reads its settings then.
    ministack.prepare(port)
    gateway.settle_environment(state)
    lab.start(Lab(state, port, options.scale))
    from isthmus_lab_aws.assembly import assemble

    def ready(accounts: list[str]) -> None:
        _announce(options, port, accounts)

    async def serve() -> None:
        accounts: list[str] = options.account or list(DEFAULT_ACCOUNTS)
        await assemble(accounts, lint=not options.no_lint).run(listener, ready)
        sys.stdout.flush()
        # Not later: the loop's end would wait for stack operations, which wait for their delays.
        # The journal goes on with them at the next start.
        os._exit(0)

    asyncio.run(serve())


def _listen(port: int, *, elsewhere: bool) -> socket.socket:
    try:
        return _listener(port)
    except OSError:
        if not elsewhere:
            raise
        return _listener(0)


def _listener(port: int) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that name it.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="isthmus-lab-aws", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument(
        "--or-any-port", action="store_true", help="take a free port where that one is taken"
    )
    parser.add_argument("--state", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument(
        "--scale",
        type=float,
        default=DEFAULT_SCALE,
        help="what AWS's delays are multiplied by (default 1/500; 0 is instant)",
    )
    parser.add_argument("--port-file", type=Path, help="write the ready line there as well")
    parser.add_argument(
        "--account",
        action="append",
        help="an account that exists from the start; may be repeated",
    )
    parser.add_argument(
        "--no-lint", action="store_true", help="accept templates without checking them first"
    )
    return parser


def _announce(options: argparse.Namespace, port: int, accounts: list[str]) -> None:
    line = json.dumps(
        {
            "url": f"http://127.0.0.1:{port}",
            "pid": os.getpid(),
            "accounts": accounts,
            "credentials": str(options.state / "credentials.json"),
        }
    )
    print(line, flush=True)  # noqa: T201  # The ready line is the program's output.
    if options.port_file:
        fresh = options.port_file.with_suffix(".new")
        fresh.write_text(line + "\n")
        fresh.replace(options.port_file)


if __name__ == "__main__":
    main()
