"""``plan``: what would happen, what it costs and whether it may, before anything is touched."""

from typing import Annotated

import typer

from isthmus.api.meta import Json
from isthmus.core.plan import describe
from isthmus.faces.cli import common, manifests
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.objects import dig, items, part, text
from isthmus.faces.cli.output import Output, columns, dump, say, structured
from isthmus.faces.paths import PLANS


@common.verb
async def show(
    what: common.Objects = None,
    filename: common.Files = None,
    delete: Annotated[bool, typer.Option("--delete", help="Plan the deletion.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 9 if it may not happen.")] = False,
    namespace: common.Namespace = "",
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Show what applying files, or deleting objects, would do; nothing is changed."""
    async with common.connect(kubeconfig, context, namespace) as client:
        questions = await _questions(client, what or [], filename or [], delete=delete)
        plans = [await client.request("POST", PLANS, body=question) for question in questions]
    if structured(output):
        dump(plans[0] if len(plans) == 1 else plans, output)
    else:
        for plan in plans:
            _show(plan)
    if check and not all(plan["allowed"] for plan in plans):
        raise typer.Exit(Exit.FAILED)


async def _questions(
    client: Client, words: list[str], files: list[str], *, delete: bool
) -> list[Json]:
    namespace = client.target.namespace
    if files:
        return [_question(one, namespace, delete=delete) for one in manifests.read(files)]
    if not delete:
        raise CommandFailed("-f: name a file to plan, or KIND/NAME with --delete", Exit.USAGE)
    return [
        {"delete": {"kind": known.kind, "namespace": namespace, "name": name}}
        for known, name in await common.targets(client, words)
    ]


def _question(manifest: manifests.Manifest, namespace: str, *, delete: bool) -> Json:
    place = manifest.namespace or namespace
    if delete:
        return {"delete": {"kind": manifest.kind, "namespace": place, "name": manifest.name}}
    metadata = part(manifest.body, "metadata") | {"namespace": place}
    return {"object": manifest.body | {"metadata": metadata}}


def _show(plan: Json) -> None:
    where = f" on {text(plan, 'provider')}" if plan.get("provider") else ""
    lab = " (simulated)" if plan.get("simulated") else ""
    say(f"{text(plan, 'subject')}: {text(plan, 'intent')}{where}{lab}")
    _revision(part(plan, "revision"))
    if parameters := items(plan, "parameters"):
        say("Parameters:")
        for one in parameters:
            stuck = "" if one.get("updatable") else "  (cannot be changed)"
            before, after = describe(one.get("before")), describe(one.get("after"))
            say(f"  {one['name']}: {before} -> {after}{stuck}")
    _changes(plan)
    _prices(plan)
    say("Verdict:")
    for check in items(plan, "checks"):
        say(f"  {'yes' if check['passed'] else 'NO '}  {check['name']}: {check['message']}")
        if check.get("remedy") and not check["passed"]:
            say(f"       {check['remedy']}")
    say("It may happen." if plan["allowed"] else "It may not happen.")


def _revision(revision: Json) -> None:
    before, after, newest = (text(revision, name) for name in ("before", "after", "newest"))
    if after and before and before != after:
        say(f"Offering revision: {before} -> {after}")
    if newest and newest not in (after, ""):
        say(f"A newer revision is there: {newest}; set spec.revision to take it")


def _changes(plan: Json) -> None:
    changes = items(plan, "changes")
    if not changes:
        if plan["intent"] != "nothing":
            say("Native changes: none")
        return
    say("Native changes:")
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
    columns(("  VERB", "LOGICAL ID", "TYPE", "PROPERTIES", "DATA"), rows)
    for one in plan.get("notes") or ():
        say(f"  note: {one}")


def _prices(plan: Json) -> None:
    before, after = part(plan, "priceBefore"), part(plan, "priceAfter")
    if not before and not after:
        say("Price: not known for this region")
        return
    known = after or before
    say(f"Price per hour: {_amount(before)} -> {_amount(after)} {text(known, 'currency')}")
    for line in items(after, "lines"):
        say(f"  {line['name']}: {line['perHour'] or 'not known'}")
    for usage in items(known, "usage"):
        say(f"  by use: {usage['name']}: {usage['amount']} per {usage['unit']}")
    say(
        f"  list price of {text(known, 'asOf')} in {text(known, 'region')}, {text(known, 'source')}"
    )


def _amount(price: Json) -> str:
    if not price:
        return "0"
    amount = dig(price, "perHour")
    return "not known" if amount is None else str(amount)
