"""``apply`` and ``delete``: say what shall be, and that something shall not be any more."""

import re
from typing import Annotated, Any

import typer

from isthmus.api.meta import API_VERSION, Json
from isthmus.faces.cli import common, manifests, waiting
from isthmus.faces.cli.client import APPLY_PATCH, FIELD_MANAGER, Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kinds import Known, of_manifest, stack_of
from isthmus.faces.cli.manifests import Manifest
from isthmus.faces.cli.objects import items, text
from isthmus.faces.cli.output import Output, dump, say, structured
from isthmus.ports import Api
from isthmus.runtime.kube import path_of

STACKS = Api(API_VERSION, "stacks")
_FIELD = re.compile(r"\b(?:spec|metadata|data)(?:\.[\w-]+|\[\d+\])*")

Force = Annotated[
    bool, typer.Option("--force-conflicts", help="Take over fields that others manage.")
]


@common.verb
async def apply(
    filename: common.Files = None,
    namespace: common.Namespace = "",
    wait: common.Wait = False,
    timeout_seconds: common.Timeout = 1800,
    force_conflicts: Force = False,
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Create or change objects so that they are as the files say."""
    if not filename:
        raise CommandFailed("-f: name a file, a folder, or - for standard input", Exit.USAGE)
    found = manifests.read(filename)
    async with common.connect(kubeconfig, context, namespace) as client:
        applied = [await apply_one(client, one, force=force_conflicts) for one in found]
        if structured(output):
            answers = [obj for _, obj in applied]
            dump(answers[0] if len(answers) == 1 else answers, output)
        for known, obj in applied if wait else ():
            await wait_for(client, known, obj, timeout_seconds)


async def apply_one(client: Client, manifest: Manifest, *, force: bool) -> tuple[Known, Json]:
    """Apply one manifest by server-side apply and say what became of it."""
    known = await _kind(client, manifest)
    namespace = _namespace(client, known, manifest)
    before = await client.find(known.api, namespace, manifest.name)
    obj = await _send(client, known, manifest, {"force": "true"} if force else {})
    say(f"{known.kind.lower()}/{manifest.name} {_became(before, obj)}")
    return known, obj


async def dry_run(client: Client, manifest: Manifest) -> tuple[Known, Json]:
    """Return what applying a manifest would store; nothing is stored."""
    known = await _kind(client, manifest)
    return known, await _send(client, known, manifest, {"dryRun": "All", "force": "true"})


async def _kind(client: Client, manifest: Manifest) -> Known:
    known = await of_manifest(client, manifest.body)
    if known is None:
        raise CommandFailed(
            f"{manifest.place('kind')}: kind: the server has no {manifest.kind} of "
            f"{manifest.body['apiVersion']}",
            Exit.NOT_FOUND,
        )
    return known


def _namespace(client: Client, known: Known, manifest: Manifest) -> str:
    return (manifest.namespace or client.target.namespace) if known.api.namespaced else ""


async def _send(client: Client, known: Known, manifest: Manifest, params: dict[str, str]) -> Json:
    path = path_of(known.api, _namespace(client, known, manifest), manifest.name)
    fixed = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
    try:
        return await client.request(
            "PATCH", path, params=fixed | params, body=manifest.body, content_type=APPLY_PATCH
        )
    except CommandFailed as failure:
        raise _placed(manifest, failure) from failure


def _placed(manifest: Manifest, failure: CommandFailed) -> CommandFailed:
    """Put the place of the wrong field in front of the server's words."""
    if failure.code == Exit.CONFLICT:
        hint = "\nhint: --force-conflicts takes the fields over"
        return CommandFailed(f"{manifest.place()}: {failure.message}{hint}", failure.code)
    if failure.code != Exit.INVALID:
        return failure
    field = _FIELD.search(failure.message)
    place = manifest.place(field[0] if field else "")
    return CommandFailed(f"{place}: {failure.message}", failure.code)


def _became(before: Json | None, after: Json) -> str:
    if before is None:
        return "created"
    same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    return "unchanged" if same else "configured"


async def wait_for(client: Client, known: Known, obj: Json, timeout_seconds: float) -> None:
    """Wait until an applied object is ready; kinds without conditions are so at once."""
    if "isthmus.dev" not in known.api.group_version:
        return
    meta: Json = obj["metadata"]
    namespace = meta.get("namespace", "")

    async def look() -> Json | None:
        return await client.find(known.api, namespace, meta["name"])

    async def detail() -> str:
        stack = stack_of(known.kind, meta["name"])
        return _native_progress(await client.find(STACKS, namespace, stack)) if stack else ""

    what = f"{known.kind.lower()}/{meta['name']}"
    await waiting.until_ready(what, look, timeout_seconds, detail)


def _native_progress(stack: Json | None) -> str:
    """Say what the native engine works at: ``CREATE_IN_PROGRESS, 4 resources done, now Writer``."""
    status = text(stack, "status.nativeStatus")
    resources = items(stack, "status.resources")
    if "IN_PROGRESS" not in status or not resources:
        return ""
    busy = [text(r, "logicalId") for r in resources if "IN_PROGRESS" in text(r, "status")]
    now = f", now {', '.join(busy[:3])}" if busy else ""
    return f"{status}, {len(resources) - len(busy)} resources done{now}"


@common.verb
async def delete(
    what: common.Objects = None,
    filename: common.Files = None,
    namespace: common.Namespace = "",
    wait: common.Wait = True,
    timeout_seconds: common.Timeout = 1800,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="An absent object is no error.")
    ] = False,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Delete objects, and with them what they stand for in the cloud."""
    async with common.connect(kubeconfig, context, namespace) as client:
        doomed = await _doomed(client, what or [], filename or [])
        going = [await _delete(client, *one, ignore_not_found=ignore_not_found) for one in doomed]
        for known, place, obj in [one for one in going if one is not None] if wait else ():
            await wait_gone(client, known, place, obj, timeout_seconds)


async def _doomed(
    client: Client, words: list[str], paths: list[str]
) -> list[tuple[Known, str, str]]:
    """Return kind, namespace and name; objects of files in the opposite order of their creation."""
    if not paths:
        chosen = await common.targets(client, words)
        return [(known, client.target.namespace, name) for known, name in chosen]
    doomed: list[tuple[Known, str, str]] = []
    for manifest in reversed(manifests.read(paths)):
        known = await of_manifest(client, manifest.body)
        if known is not None:
            doomed.append((known, manifest.namespace or client.target.namespace, manifest.name))
    return doomed


async def _delete(
    client: Client, known: Known, namespace: str, name: str, *, ignore_not_found: bool
) -> tuple[Known, str, Json] | None:
    place = namespace if known.api.namespaced else ""
    obj = await client.find(known.api, place, name)
    if obj is None:
        if ignore_not_found:
            return None
        where = f" in namespace {place!r}" if place else ""
        raise CommandFailed(f"{known.kind.lower()}/{name}: not found{where}", Exit.NOT_FOUND)
    body: Any = {"preconditions": {"uid": obj["metadata"]["uid"]}}
    await client.request("DELETE", path_of(known.api, place, name), body=body)
    say(f"{known.kind.lower()}/{name} deletion asked for")
    return known, place, obj


async def delete_and_wait(
    client: Client, what: tuple[str, Api], namespace: str, name: str, timeout_seconds: float
) -> None:
    """Delete one object, given by kind and resource, and wait until it is gone."""
    kind, api = what
    going = await _delete(client, Known(kind, api, ()), namespace, name, ignore_not_found=False)
    if going is not None:
        await wait_gone(client, *going, timeout_seconds)


async def wait_gone(
    client: Client, known: Known, namespace: str, obj: Json, timeout_seconds: float
) -> None:
    """Wait until that very object is gone."""
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]

    async def look() -> Json | None:
        found = await client.find(known.api, namespace, name)
        return found if found and found["metadata"]["uid"] == uid else None

    # Who asks a second time knows of the blocker.
    patient = "deletionTimestamp" in obj["metadata"]
    await waiting.until_gone(f"{known.kind.lower()}/{name}", look, timeout_seconds, patient=patient)
