"""``orphans`` and ``adopt``: what is in an account beside what the objects say."""

from typing import Annotated

import typer
import yaml

from isthmus.api.meta import API_VERSION, Json
from isthmus.faces.cli import common, completion
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.manifests import Manifest
from isthmus.faces.cli.objects import items, text
from isthmus.faces.cli.output import Output, columns, dump, note, structured
from isthmus.faces.cli.write import apply_one, wait_for
from isthmus.faces.paths import ADOPTABLES, ORPHANS

Provider = Annotated[
    str, typer.Option("--provider", help="Name of a Provider.", show_default=False)
]


@common.verb
async def orphans(
    provider: Provider = "",
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """List what bears our tag in the clouds and has no object any more; exit 9 if there is any."""
    async with common.connect(kubeconfig, context, "") as client:
        params = {"provider": provider} if provider else {}
        answer = await client.request("GET", ORPHANS, params=params)
    found, skipped = items(answer, "orphans"), items(answer, "skipped")
    if structured(output):
        dump(answer, output)
    else:
        _show_orphans(found, skipped)
    if found or skipped:
        raise typer.Exit(Exit.FAILED)


def _show_orphans(found: list[Json], skipped: list[Json]) -> None:
    for one in skipped:
        note(f"not searched: provider {text(one, 'provider')}: {text(one, 'message')}")
    if not found:
        note("no orphans")
        return
    names = ("provider", "type", "name", "namespace", "objectName", "uid")
    columns([name.upper() for name in names], [[text(o, n) for n in names] for o in found])


@common.verb
async def adopt(
    external_name: Annotated[
        str, typer.Argument(help="The cloud's own name of the stack; absent: list them.")
    ] = "",
    provider: Provider = "",
    offering: Annotated[
        str,
        typer.Option("--offering", help="Offering.", autocompletion=completion.offerings),
    ] = "",
    plan: Annotated[str, typer.Option("--plan", help="Plan of the offering.")] = "custom",
    name: Annotated[str, typer.Option("--name", help="Name of the new ServiceInstance.")] = "",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, YAML values.")
    ] = None,
    observe: Annotated[
        bool, typer.Option("--observe", help="Only look; change nothing, own nothing.")
    ] = False,
    namespace: common.Namespace = "",
    wait: common.Wait = True,
    timeout_seconds: common.Timeout = 1800,
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Take over a stack that is there already, or list those that could be."""
    async with common.connect(kubeconfig, context, namespace) as client:
        if not external_name:
            answer = await client.request("GET", ADOPTABLES, params={"provider": provider})
            _show_adoptables(answer, output)
            return
        if not (offering and provider):
            raise CommandFailed("--offering and --provider: both are needed to adopt", Exit.USAGE)
        spec: Json = {
            "offering": offering,
            "plan": plan,
            "provider": provider,
            "parameters": _parameters(parameter or []),
            "management": "Observe" if observe else "Adopt",
            "adopt": {"externalName": external_name},
        }
        claim = _claim(name or external_name.lower(), spec)
        known, obj = await apply_one(client, claim, force=False)
        if wait:
            await wait_for(client, known, obj, timeout_seconds)
        if structured(output):
            dump(await client.get(known.api, client.target.namespace, claim.name), output)


def _claim(name: str, spec: Json) -> Manifest:
    head = {"apiVersion": API_VERSION, "kind": "ServiceInstance", "metadata": {"name": name}}
    return Manifest(source="adopt", body=head | {"spec": spec})


def _parameters(given: list[str]) -> Json:
    values: Json = {}
    for one in given:
        key, equal, value = one.partition("=")
        if not equal:
            raise CommandFailed(f"--parameter: write NAME=VALUE, not {one!r}", Exit.USAGE)
        values[key] = yaml.safe_load(value)
    return values


def _show_adoptables(answer: Json, output: Output) -> None:
    if structured(output):
        dump(answer, output)
        return
    found = items(answer, "adoptables")
    if not found:
        note("no stack of others there")
        return
    names = ("provider", "name", "nativeId")
    columns([n.upper() for n in names], [[text(one, n) for n in names] for one in found])
