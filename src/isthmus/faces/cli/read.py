"""``get``: what is there."""

import asyncio
from typing import Annotated, Any

import typer

from isthmus.api.meta import Json
from isthmus.faces.cli import common
from isthmus.faces.cli.client import TABLE, Client
from isthmus.faces.cli.kinds import Known
from isthmus.faces.cli.objects import items, text
from isthmus.faces.cli.output import Output, dump, note, say, server_table, structured
from isthmus.runtime.kube import path_of
from isthmus.runtime.transport import JSON

_WATCH_SECONDS = 1.0

Selector = Annotated[
    str, typer.Option("--selector", "-l", help="Label selector.", show_default=False)
]
AllNamespaces = Annotated[
    bool, typer.Option("--all-namespaces", "-A", help="Objects of all namespaces.")
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Print again whenever it changes.")]


@common.verb
async def get(
    what: common.Objects = None,
    namespace: common.Namespace = "",
    all_namespaces: AllNamespaces = False,
    selector: Selector = "",
    watch: Watch = False,
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """List objects of a kind, or show some of them."""
    async with common.connect(kubeconfig, context, namespace) as client:
        chosen = await _chosen(client, what or [])
        where = "" if all_namespaces else client.target.namespace
        params = {"labelSelector": selector} if selector else {}
        shown: Any = None
        while True:
            answers = [await _fetch(client, *one, where, params, output) for one in chosen]
            if answers != shown:
                _show(answers, output, everywhere=all_namespaces)
            if not watch:
                return
            shown = answers
            await asyncio.sleep(_WATCH_SECONDS)


async def _chosen(client: Client, words: list[str]) -> list[tuple[Known, str]]:
    """Return pairs of kind and name; without a name all of the kind are meant."""
    if len(words) == 1 and "/" not in words[0]:
        kinds = [await common.resolve(client, word) for word in words[0].split(",")]
        return [(kind, "") for kind in kinds]
    return await common.targets(client, words)


async def _fetch(
    client: Client, kind: Known, name: str, where: str, params: dict[str, str], output: Output
) -> Json:
    tabular = output in (Output.TABLE, Output.WIDE)
    accept = TABLE if tabular else JSON
    path = path_of(kind.api, where, name)
    return await client.request("GET", path, params=params, accept=accept)


def _show(answers: list[Json], output: Output, *, everywhere: bool) -> None:
    if structured(output):
        dump(answers[0] if len(answers) == 1 else {"kind": "List", "items": answers}, output)
        return
    for answer in answers:
        if output == Output.NAME:
            for item in items(answer, "items") if "items" in answer else [answer]:
                kind = text(item, "kind") or text(answer, "kind").removesuffix("List")
                say(f"{kind.lower()}/{text(item, 'metadata.name')}")
        elif not answer.get("rows"):
            note("no objects found")
        else:
            server_table(answer, namespaces=everywhere, wide=output == Output.WIDE)
