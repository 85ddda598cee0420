"""The page of the command line, written from the commands themselves."""

from collections.abc import Iterator
from typing import Any

from tests.docs.reference import head

_INTRO = """\
`isthmus` is a client of the API like kubectl; `up` and `demo` start the server, and
`catalog generate` and `catalog lint` need none. It finds the server as kubectl does, by
`--kubeconfig`, `KUBECONFIG`, or the kubeconfig that `isthmus up` wrote last. `--install-completion`
makes the shell complete verbs, kinds and names."""

_EXIT_CODES = """\
## Exit codes

| code | meaning | what to do |
|---|---|---|
| 0 | done | |
| 1 | our mistake | report it |
| 2 | the command line is wrong | see `--help` |
| 3 | a file or an object is wrong | the message names file, line and field |
| 4 | not found | |
| 5 | forbidden | ask whoever gives rights in that namespace |
| 6 | conflict: somebody else changed or owns it | look, then decide |
| 7 | no server, or it does not answer | start it, or try later |
| 8 | timed out: it may still become ready | wait longer |
| 9 | the cloud, or the check that was asked for, says no | `isthmus why` |
| 130 | interrupted; what the server has accepted goes on | |
"""


def cli_page(root: Any) -> str:
    """Every verb with its arguments and options.

    Args:
        root: What ``typer.main.get_command`` returns. Typer keeps its copy of click private, so
            only attributes that click documents are read.
    """
    sections = [_section(path, command) for path, command in leaves(root)]
    return "\n".join([head("Command line", _INTRO), *sections, _EXIT_CODES])


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with how it is called."""
    path = (*path, command.name or "isthmus")
    inner: dict[str, Any] | None = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(path), command
        return
    for one in inner.values():
        if not one.hidden:
            yield from leaves(one, path)


def options(command: Any) -> list[Any]:
    """The arguments and options that a person may write."""
    return [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]


def names(parameter: Any) -> list[str]:
    """How an argument or option is written."""
    if parameter.param_type_name == "argument":
        return [parameter.metavar or parameter.name.upper()]
    return [*parameter.opts, *parameter.secondary_opts]


def _section(path: str, command: Any) -> str:
    arguments = [names(p)[0] for p in options(command) if p.param_type_name == "argument"]
    usage = " ".join([path, "[OPTIONS]", *arguments])
    rows = [_row(p) for p in options(command)]
    table = ["| argument or option | default | what |", "|---|---|---|", *rows, ""] if rows else []
    words = " ".join((command.help or "").split())
    return "\n".join([f"## {path}\n", f"{words}\n", f"```text\n{usage}\n```\n", *table])


def _row(parameter: Any) -> str:
    words = " ".join((parameter.help or "").split()).replace("|", "\\|")
    shown = ", ".join(f"`{name}`" for name in names(parameter)).replace("|", "\\|")
    return f"| {shown} | {_default(parameter)} | {words} |"


def _default(parameter: Any) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    if value in (None, "", ()) or not isinstance(value, str | int | float):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
