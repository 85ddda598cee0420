"""``plan``: what would happen, what it costs and whether it may, before anything is touched."""

from collections.abc import Iterator
from typing import Annotated

import typer

from isthmus.api.meta import Json
from isthmus.core.plan import describe
from isthmus.faces.cli import common, manifests
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.objects import dig, items, part, text
from isthmus.faces.cli.output import Output, dump, say, structured, table
from isthmus.faces.cli.write import dry_run
from isthmus.faces.paths import PLANS


@common.verb
async def show(
    what: common.Objects = None,
    filename: common.Files = None,
    delete: Annotated[bool, typer.Option("--delete", help="Plan the deletion.")] = False,
    namespace: common.Namespace = "",
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Show what applying files, or deleting objects, would do; exit 9 if it may not happen."""
    async with common.connect(kubeconfig, context, namespace) as client:
        if filename and not delete:
            plans = [await ask(client, one.body, one) for one in manifests.read(filename)]
        else:
            doomed = await _doomed(client, what or [], filename or [], delete=delete)
            plans = [await client.request("POST", PLANS, body={"delete": one}) for one in doomed]
    if structured(output):
        dump(plans[0] if len(plans) == 1 else plans, output)
    else:
        for plan in plans:
            for line in lines(plan):
                say(line)
    if not all(plan["allowed"] for plan in plans):
        raise typer.Exit(Exit.FAILED)


async def ask(client: Client, body: Json, manifest: manifests.Manifest | None = None) -> Json:
    """Ask what applying an object would do: first of the API, by a dry run, then of the cloud."""
    written = manifest or manifests.Manifest(source="plan", body=body)
    _, wanted = await dry_run(client, written)
    return await client.request("POST", PLANS, body={"object": wanted})


async def _doomed(
    client: Client, words: list[str], files: list[str], *, delete: bool
) -> list[Json]:
    namespace = client.target.namespace
    if not delete:
        raise CommandFailed("-f: name a file to plan, or KIND/NAME with --delete", Exit.USAGE)
    if files:
        return [
            {"kind": one.kind, "namespace": one.namespace or namespace, "name": one.name}
            for one in manifests.read(files)
        ]
    return [
        {"kind": known.kind, "namespace": namespace, "name": name}
        for known, name in await common.targets(client, words)
    ]


def lines(plan: Json) -> Iterator[str]:
    """Yield a plan for people, line by line."""
    where = f" on {text(plan, 'provider')}" if plan.get("provider") else ""
    lab = " (simulated)" if plan.get("simulated") else ""
    yield f"{text(plan, 'subject')}: {text(plan, 'intent')}{where}{lab}"
    yield from _revision(part(plan, "revision"))
    if parameters := items(plan, "parameters"):
        yield "Parameters:"
        for one in parameters:
            stuck = "" if one.get("updatable") else "  (cannot be changed)"
            after = describe(one.get("after"))
            before = "" if plan["intent"] == "create" else f"{describe(one.get('before'))} -> "
            yield f"  {one['name']}: {before}{after}{stuck}"
    yield from _changes(plan)
    yield from _prices(plan)
    yield "Verdict:"
    for check in items(plan, "checks"):
        yield f"  {'yes' if check['passed'] else 'NO '}  {check['name']}: {check['message']}"
        if check.get("remedy") and not check["passed"]:
            yield f"       {check['remedy']}"
    yield "It may happen." if plan["allowed"] else "It may not happen."


def _revision(revision: Json) -> Iterator[str]:
    before, after, newest = (text(revision, name) for name in ("before", "after", "newest"))
    if after and before and before != after:
        yield (f"Offering revision: {before} -> {after}")
    if newest and newest not in (after, ""):
        yield (f"A newer revision is there: {newest}; set spec.revision to take it")


def _changes(plan: Json) -> Iterator[str]:
    changes = items(plan, "changes")
    if not changes:
        if plan["intent"] != "nothing":
            yield ("Native changes: none")
        return
    yield ("Native changes:")
    rows = [
        (
            f"  {change['verb']}",
            change["logicalId"],
            change["type"],
            ", ".join(change.get("properties") or ()) or "-",
            "holds data" if change.get("stateful") else "-",
        )
        for change in changes
    ]
    yield from table(("  VERB", "LOGICAL ID", "TYPE", "PROPERTIES", "DATA"), rows)
    for one in plan.get("notes") or ():
        yield (f"  note: {one}")


def _prices(plan: Json) -> Iterator[str]:
    before, after = part(plan, "priceBefore"), part(plan, "priceAfter")
    if not before and not after:
        yield ("Price: not known for this region")
        return
    known = after or before
    yield (f"Price per hour: {_amount(before)} -> {_amount(after)} {text(known, 'currency')}")
    for line in items(after, "lines"):
        yield (f"  {line['name']}: {line['perHour'] or 'not known'}")
    for usage in items(known, "usage"):
        yield (f"  by use: {usage['name']}: {usage['amount']} per {usage['unit']}")
    yield (
        f"  list price of {text(known, 'asOf')} in {text(known, 'region')}, {text(known, 'source')}"
    )


def _amount(price: Json) -> str:
    if not price:
        return "0"
    amount = dig(price, "perHour")
    return "not known" if amount is None else str(amount)
