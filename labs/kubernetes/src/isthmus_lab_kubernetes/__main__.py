"""The lab's command line: build, plane, guests by hand, and a cluster of them."""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from isthmus_lab_kubernetes import building, cgroups, cluster, plane
from isthmus_lab_kubernetes.cloud import agent
from isthmus_lab_kubernetes.cloud.identity import Session
from isthmus_lab_kubernetes.guests import Guest, guests
from isthmus_lab_kubernetes.machines import Machine, Port
from isthmus_lab_kubernetes.settings import HELM, NEWEST, RELEASES, Lab, LabError

Options = argparse.Namespace


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; results go to standard output, everything else to standard error."""
    options = _parser().parse_args(arguments)
    try:
        return options.action(Lab(Path(options.state)), options) or 0
    except LabError as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1


def _print(text: object) -> None:
    sys.stdout.write(f"{text}\n")


def _build(lab: Lab, options: Options) -> None:
    for major in options.helm or ():
        _print(building.helm(major))
    if options.release or not options.helm:
        _require_packages()
        for minor in options.release or [NEWEST]:
            _print(building.release(minor).kube)


def _plane(lab: Lab, options: Options) -> None:
    if options.verb == "down":
        plane.down(lab)
    else:
        _print(plane.up(lab, options.release))


def _require_packages() -> None:
    missing = building.missing_packages()
    if missing:
        raise LabError(
            f"not installed: {' '.join(missing)}; labs/install-packages.sh installs them"
        )
    if not cgroups.supported():
        raise LabError(
            "guests need the cgroup controllers mounted as version 1, and this machine has not"
        )


def _up(lab: Lab, options: Options) -> None:
    _require_packages()
    _print(cluster.up(lab, options.nodes, options.release))


def _down(lab: Lab, options: Options) -> None:
    plane.down(lab)
    cluster.down(lab)


def _keep(lab: Lab, options: Options) -> None:
    """Remove everything once told to end: whoever starts us lets us be told when it dies."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # None is missed, and a second one does nothing.
    _print(f"keeping {lab.state}")
    sys.stdout.flush()
    signal.sigwait(ends)
    _down(lab, options)


def _boot(lab: Lab, options: Options) -> None:
    if options.request:
        guest = cluster.boot(lab, Machine.read(json.load(sys.stdin)))
    else:
        text = Path(options.user_data).read_text() if options.user_data else "#cloud-config\n{}\n"
        guest = cluster.node(lab, options.name, text, options.release)
        guest.resize(options.memory, options.cpus)
    _print(json.dumps({**guest.facts, "pid": guest.leader}))


def _make(lab: Lab, options: Options) -> None:
    machine = Machine.read(json.load(sys.stdin))
    Guest(lab, machine.id).create(machine)


def _on_guest(action: Callable[[Guest, Options], object]) -> Callable[[Lab, Options], int]:
    def act(lab: Lab, options: Options) -> int:
        answer = action(Guest(lab, options.name), options)
        return answer if isinstance(answer, int) else 0

    return act


def _execute(guest: Guest, options: Options) -> int:
    words = options.command[options.command[:1] == ["--"] :]
    return subprocess.run(guest.command(words), check=False).returncode


def _drive(guest: Guest, options: Options) -> None:
    guest.write_drive(Machine.read({"id": guest.name, "drive": json.load(sys.stdin)}).drive)


def _agent(lab: Lab, options: Options) -> None:
    """Its password comes by standard input: nobody shall read it from the list of processes."""
    agent.run(lab, Session(**json.load(sys.stdin)))


def _list(lab: Lab, options: Options) -> None:
    for guest in guests(lab):
        _print(json.dumps({**guest.facts, "pid": guest.leader}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="isthmus-lab-kubernetes", description=__doc__)
    parser.add_argument("--state", default="/tmp/isthmus-lab-kubernetes", help="the lab's folder")
    verbs = parser.add_subparsers(required=True)

    def verb(name: str, action: Callable[..., object], text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text)
        made.set_defaults(action=action)
        return made

    made = verb("build", _build, "compile Kubernetes and make what guests boot from")
    made.add_argument("--release", action="append", choices=sorted(RELEASES))
    made.add_argument("--helm", action="append", choices=sorted(HELM), help="Helm instead")
    made = verb("plane", _plane, "a control plane without nodes, on loopback")
    made.add_argument("verb", choices=("up", "down"))
    made.add_argument("--release", default=NEWEST, choices=sorted(RELEASES))
    made = verb("up", _up, "a kubeadm cluster of guests; prints the kubeconfig's path")
    made.add_argument("--nodes", type=int, default=2)
    made.add_argument("--release", default=NEWEST, choices=sorted(RELEASES))
    verb("down", _down, "remove every guest and network, stop the plane")
    verb("keep", _keep, "wait for SIGTERM, then do as `down`; for whoever may be killed")
    verb("list", _list, "the guests, one JSON line each")
    verb("agent", _agent, "draw a cloud's networks; reads its log-in as JSON from standard input")
    _guest_verbs(verb)
    return parser


def _guest_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    made = verb("make", _make, "make a guest, switched off, from JSON on standard input")
    made.add_argument("--request", action="store_true")
    made = verb("boot", _boot, "make and start a guest")
    made.add_argument("name", nargs="?")
    made.add_argument(
        "--request", action="store_true", help="read the machine as JSON from standard input"
    )
    made.add_argument("--user-data", help="a file")
    made.add_argument("--memory", type=int, default=0, help="MiB")
    made.add_argument("--cpus", type=float, default=0)
    made.add_argument("--release", default=NEWEST, choices=sorted(RELEASES))
    plain: dict[str, tuple[Callable[[Guest, Options], object], str]] = {
        "start": (lambda guest, _: guest.start(), "boot a guest again"),
        "stop": (lambda guest, _: guest.stop(), "shut a guest down"),
        "kill": (lambda guest, _: guest.kill(), "pull a guest's power"),
        "delete": (lambda guest, _: guest.delete(), "remove a guest"),
        "console": (lambda guest, _: _print(guest.console()), "what a guest wrote to its console"),
        "drive": (_drive, "write a guest's config drive anew, from JSON on standard input"),
    }
    for name, (action, text) in plain.items():
        verb(name, _on_guest(action), text).add_argument("name")
    made = verb(
        "resize", _on_guest(lambda g, o: g.resize(o.memory, o.cpus)), "give a guest another flavor"
    )
    made.add_argument("name")
    made.add_argument("--memory", type=int, required=True, help="MiB")
    made.add_argument("--cpus", type=float, required=True)
    made = verb(
        "plug",
        _on_guest(lambda g, _: g.plug(Port.read(json.load(sys.stdin)))),
        "add a card, from JSON",
    )
    made.add_argument("name")
    made = verb("unplug", _on_guest(lambda g, o: g.unplug(o.port)), "take a card away")
    made.add_argument("name")
    made.add_argument("port")
    made = verb("exec", _on_guest(_execute), "run a command inside a guest")
    made.add_argument("name")
    made.add_argument("command", nargs=argparse.REMAINDER)


if __name__ == "__main__":
    sys.exit(main())
