"""What all verbs share: options, the connection, and the way from an error to an exit code."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ParamSpec

import typer

from isthmus.errors import IsthmusError
from isthmus.faces.cli import completion, kubeconfig
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit, report
from isthmus.faces.cli.kinds import Known, resolve
from isthmus.faces.cli.output import Output, note

P = ParamSpec("P")

Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", help="Path of the kubeconfig file.", show_default=False)
]
Context = Annotated[
    str, typer.Option("--context", help="Context of the kubeconfig.", show_default=False)
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace; without it the context's.",
        show_default=False,
        autocompletion=completion.namespaces,
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")]
Files = Annotated[
    list[str] | None,
    typer.Option("--filename", "-f", help="File or folder of manifests; - is standard input."),
]
Objects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KIND NAME... | KIND/NAME...]",
        help="What is meant, for example `serviceinstance db` or `si/db`.",
        show_default=False,
        autocompletion=completion.objects,
    ),
]
OneObject = Annotated[
    list[str],
    typer.Argument(
        metavar="KIND/NAME",
        help="What is meant, for example `serviceinstance/db`.",
        show_default=False,
        autocompletion=completion.objects,
    ),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0, help="How long to wait at most, in seconds.")
]


def connect(kubeconfig_path: str, context: str, namespace: str) -> Client:
    """Return a client for what the common options mean."""
    return Client(kubeconfig.load(kubeconfig_path, context, namespace))


def verb(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a coroutine a command whose known failures end in one line and their exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        guarded(lambda: asyncio.run(function(*args, **kwargs)))

    return run


def guarded(action: Callable[[], None]) -> None:
    """Run a command's body; see ``verb``."""
    try:
        action()
    except (CommandFailed, IsthmusError) as failure:
        raise typer.Exit(report(failure)) from failure
    except KeyboardInterrupt:
        note("interrupted; what the server has accepted goes on")
        raise typer.Exit(130) from None


async def targets(client: Client, words: list[str]) -> list[tuple[Known, str]]:
    """Read ``KIND NAME NAME`` or ``KIND/NAME KIND/NAME``.

    Raises:
        CommandFailed: It is neither, or the kind does not exist.
    """
    if not words:
        raise CommandFailed("say what: KIND/NAME, or -f FILE", Exit.USAGE)
    if any("/" in word for word in words):
        pairs = [word.split("/", 1) for word in words]
        if wrong := next((pair[0] for pair in pairs if len(pair) < 2 or not all(pair)), None):
            raise CommandFailed(f"{wrong}: write KIND/NAME throughout", Exit.USAGE)
        return [(await resolve(client, kind), name) for kind, name in pairs]
    known = await resolve(client, words[0])
    return [(known, name) for name in words[1:]]


async def one_target(client: Client, words: list[str]) -> tuple[Known, str]:
    """Read exactly one ``KIND/NAME``."""
    found = await targets(client, words)
    if len(found) != 1:
        raise CommandFailed("name one object: KIND/NAME", Exit.USAGE)
    return found[0]
