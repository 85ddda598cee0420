"""The lab's verbs.

serve      run a lab in the foreground; one JSON line says that it is ready
up         start one in the background, wait until it serves; does nothing where one runs
prepare    do once what takes minutes, and keep it in the cache; nothing runs afterwards
down       end it; what it keeps stays
reset      end it and remove what it keeps
status     one line a process: pid, memory, health
env        shell exports for the project demo
restart, stop, kill, start   processes by their names
logs       the end of a process's log
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from isthmus_lab_openstack import background, supervisor
from isthmus_lab_openstack.settings import LabError, Settings, load

_ORDERS = ("restart", "stop", "kill", "start")


def main(arguments: list[str] | None = None) -> int:
    """Do what a verb says. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _do(options)
    except LabError as error:
        print(f"openstack lab: {error}", file=sys.stderr)  # noqa: T201  # The program's output.
        return 1


def _do(options: argparse.Namespace) -> int:
    verb: str = options.verb
    if verb == "serve":
        supervisor.serve(_wished(options), sys.stdout)
        return 0
    if verb in ("up", "prepare"):
        start = {"up": background.up, "prepare": background.prepare}[verb]
        text = start(_wished(options), sys.argv[2:])
    elif verb in _ORDERS:
        text = background.order(load(options.state), verb, options.names)
    elif verb == "logs":
        text = background.logs(load(options.state), options.names[0])
    elif verb == "status":
        text, healthy = background.status(load(options.state))
        print(text)  # noqa: T201  # The program's output.
        return 0 if healthy else 1
    else:
        text = {"down": background.down, "reset": background.reset, "env": background.env}[verb](
            load(options.state)
        )
    print(text)  # noqa: T201  # The program's output.
    return 0


def _wished(options: argparse.Namespace) -> Settings:
    words: list[str] = options.compute_environment or []
    environment = dict(word.split("=", 1) for word in words)
    return load(
        options.state,
        port_shift=options.port_shift,
        computes=options.computes,
        services=options.services.split(",") if options.services else None,
        compute_driver=options.compute_driver,
        driver_path=options.driver_path,
        metal_driver=options.metal_driver,
        compute_environment=environment or None,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="isthmus-lab-openstack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("serve", "up", "prepare", "down", "reset", "status", "env", *_ORDERS, "logs"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--state", type=Path, required=True, help="folder that keeps everything")
        if verb in ("serve", "up", "prepare"):
            _add_settings(sub)
        if verb in (*_ORDERS, "logs"):
            sub.add_argument("names", nargs="+", help="processes, as `status` names them")
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port-shift", type=int, help="added to every standard port")
    parser.add_argument("--computes", type=int, help="how many compute hosts nova sees")
    parser.add_argument("--services", help="comma list; what is not named does not run")
    parser.add_argument("--compute-driver", help="MODULE.Class, found in --driver-path")
    parser.add_argument("--driver-path", type=Path, action="append", help="folder of drivers")
    parser.add_argument("--metal-driver", help="ironic's hardware type, found in --driver-path")
    parser.add_argument(
        "--compute-environment", action="append", metavar="NAME=VALUE", help="for the driver"
    )


if __name__ == "__main__":
    raise SystemExit(main())
