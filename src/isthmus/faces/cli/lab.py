"""``lab``: the simulated AWS on this machine, for trying things out and for tests.

The lab is a program of its own; all that is known of it here is how it is started and its
``/_lab/`` pages.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.api.meta import Json
from isthmus.faces.cli import common
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kubeconfig import state_dir
from isthmus.faces.cli.objects import items, part
from isthmus.faces.cli.output import Output, columns, dump, note, say, structured

MODULE = "isthmus_lab_aws"
READY_FILE = "ready.json"
"""Where a lab writes its address, in its state folder."""

State = Annotated[
    Path | None,
    typer.Option("--state", help="State folder of the lab; else that of `isthmus up --sandbox`."),
]

app = typer.Typer(no_args_is_help=True, help="The simulated AWS that sandboxes run on.")


def command(state: Path, *, port: int = 0, or_any_port: bool = False) -> list[str]:
    """Return the command line that starts a lab, if need be on another port than that.

    Raises:
        CommandFailed: The lab is not installed.
    """
    if find_spec(MODULE) is None:
        raise CommandFailed(
            "the AWS lab is not installed here; `pip install isthmus-lab-aws`, or from a "
            "checkout: pip install -e labs/aws",
            Exit.USAGE,
        )
    told = ["--port", str(port), "--state", str(state), "--port-file", str(state / READY_FILE)]
    return [sys.executable, "-m", MODULE, *told, *(["--or-any-port"] if or_any_port else [])]


@app.command("up")
def up(
    state: State = None,
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one.")] = 0,
) -> None:
    """Run the lab alone, in the foreground, until Ctrl-C."""
    folder = state or default_state()
    common.guarded(lambda: _run(folder, port))


def _run(folder: Path, port: int) -> None:
    line = command(folder, port=port)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    note(f"lab state: {folder}")
    os.execv(line[0], line)  # It becomes the lab: nothing is left to look after.


def default_state() -> Path:
    """Return the lab's state folder beside that of ``isthmus up``."""
    return state_dir() / "lab-aws"


@app.command("status")
def status(state: State = None, output: common.OutputOption = Output.TABLE) -> None:
    """Say how the lab is and what exists in it."""
    common.guarded(lambda: _status(state, output))


def _status(state: Path | None, output: Output) -> None:
    health, left = ask(state, "GET", "health"), ask(state, "GET", "state")
    if structured(output):
        dump({"health": health, "state": left}, output)
        return
    for name, value in health.items():
        say(f"{name}: {_line(value)}")
    say("\nResources:")
    say(_line(left))


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1)


@app.command("fault")
def fault(
    effect: Annotated[
        str | None,
        typer.Option(help="error, throttle, reset, timeout, delay or lose.", show_default=False),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="Of a call, for example rds.", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Of a call, for example 'Create*'.", show_default=False)
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Of a stack's resource: AWS::RDS::*.", show_default=False),
    ] = None,
    operation: Annotated[
        str | None, typer.Option(help="create, update or delete a resource.", show_default=False)
    ] = None,
    logical_id: Annotated[
        str | None, typer.Option(help="Of a stack's resource.", show_default=False)
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="Error code to answer.", show_default=False)
    ] = None,
    message: Annotated[
        str | None, typer.Option(help="Error message to answer.", show_default=False)
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="How long to wait.", show_default=False)
    ] = None,
    skip: Annotated[
        int | None, typer.Option(help="First hits that pass.", show_default=False)
    ] = None,
    times: Annotated[
        int | None, typer.Option(help="How often it strikes; -1 for ever.", show_default=False)
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all faults.")] = False,
    state: State = None,
    output: common.OutputOption = Output.TABLE,
) -> None:
    """Make calls to the lab fail, wait or get lost; without options list the faults."""
    rule: Json = {
        "effect": effect,
        "service": service,
        "action": action,
        "type": type_,
        "operation": operation,
        "logical_id": logical_id,
        "code": code,
        "message": message,
        "seconds": seconds,
        "skip": skip,
        "times": times,
    }
    given = {name: value for name, value in rule.items() if value is not None}
    common.guarded(lambda: _fault(state, given, output, clear=clear))


def _fault(state: Path | None, rule: Json, output: Output, *, clear: bool) -> None:
    if rule and "effect" not in rule:
        raise CommandFailed("--effect: say what shall happen, for example throttle", Exit.USAGE)
    answer = ask(state, "GET", "faults")
    if rule or clear:
        known = [] if clear else items(answer, "rules")
        kept = [{k: v for k, v in one.items() if k != "hits"} for one in known]
        answer = ask(state, "POST", "faults", {"rules": kept + ([rule] if rule else [])})
    _show(items(answer, "rules"), output)


def _show(rules: list[Json], output: Output) -> None:
    if structured(output):
        dump(rules, output)
    elif not rules:
        note("no faults")
    else:
        head = ("effect", "service", "action", "type", "operation", "logical_id", "times", "hits")
        columns([name.upper() for name in head], [[rule.get(n) for n in head] for rule in rules])


def ask(state: Path | None, method: str, page: str, body: Json | None = None) -> Json:
    """Ask one of the lab's pages.

    Raises:
        CommandFailed: No lab runs there, or it refuses.
    """
    import httpx2  # Here, since `isthmus up` imports this module and needs no HTTP client.

    folder = state or default_state()
    try:
        url = str(json.loads((folder / READY_FILE).read_text())["url"])
        answer = httpx2.request(
            method, f"{url}/_lab/{page}", json=body, timeout=10, trust_env=False
        )
    except (OSError, ValueError, KeyError, httpx2.TransportError) as exc:
        raise CommandFailed(
            f"no lab runs with its state in {folder}; start `isthmus up --sandbox` or "
            "`isthmus lab up`, or name its folder with --state",
            Exit.UNAVAILABLE,
        ) from exc
    content: Json = answer.json()
    if answer.is_error:
        raise CommandFailed(f"the lab refuses: {content.get('error')}", Exit.INVALID)
    return part({"answer": content}, "answer")
