"""``describe``: one object wholly, with what belongs to it."""

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar, cast

from isthmus.api.meta import API_VERSION, GROUP, Json
from isthmus.faces.cli import common
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kinds import Known, stack_of
from isthmus.faces.cli.objects import condition, items, part, text
from isthmus.faces.cli.output import Output, age, columns, dump, say, structured
from isthmus.ports import Api

STACKS = Api(API_VERSION, "stacks")
BINDINGS = Api(API_VERSION, "servicebindings")
EVENTS = Api("v1", "events")
_NATIVE_EVENTS = 10
_ELSEWHERE = frozenset({"conditions", "resources", "events", "template", "definition", "stacks"})
"""Shown as tables of their own, or too long to read in a terminal: ``get -o yaml`` has them."""

T = TypeVar("T")
Row = Sequence[object]


@common.verb
async def describe(
    what: common.OneObject,
    namespace: common.Namespace = "",
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Show one object wholly: conditions, native resources and events, bindings."""
    async with common.connect(kubeconfig, context, namespace) as client:
        kind, name = await common.one_target(client, what)
        place = client.target.namespace if kind.api.namespaced else ""
        obj = await client.get(kind.api, place, name)
        found = {"object": obj} | await _around(client, kind, obj)
    if structured(output):
        dump(found, output)
    else:
        _describe(kind, found)


async def _around(client: Client, kind: Known, obj: Json) -> Json:
    """Collect what belongs to the object, as far as the caller may see it."""
    namespace, name = text(obj, "metadata.namespace"), text(obj, "metadata.name")
    found: Json = {"events": await _events(client, obj)}
    if kind.kind == "Stack":
        found["stack"] = obj
    if stack := stack_of(kind.kind, name):
        owned = await _owned(client, namespace, text(obj, "metadata.uid"))
        main = next((s for s in owned if text(s, "metadata.name") == stack), None)
        found["stack"] = main
        found["otherStacks"] = [one for one in owned if one is not main]
    if kind.kind == "ServiceInstance":
        bindings = await _allowed(client.list(BINDINGS, namespace), [])
        found["bindings"] = [b for b in bindings if _instance(b) == name]
    return found


def _instance(binding: Json) -> str:
    """Return the instance that a binding has a credential of, or wants one of."""
    return text(binding, "status.instance") or text(binding, "spec.instance")


async def _owned(client: Client, namespace: str, uid: str) -> list[Json]:
    """Return the Stacks of an object: pools have one a group, clusters one for the pod network."""
    found = await _allowed(client.list(STACKS, namespace), [])
    return [s for s in found if any(o["uid"] == uid for o in items(s, "metadata.ownerReferences"))]


async def _events(client: Client, obj: Json) -> list[Json]:
    uid, namespace = text(obj, "metadata.uid"), text(obj, "metadata.namespace") or "default"
    selector = {"fieldSelector": f"involvedObject.uid={uid}"}
    found = await _allowed(client.list(EVENTS, namespace, selector), [])
    return sorted((e for e in found if text(e, "involvedObject.uid") == uid), key=_when)


async def _allowed(question: Awaitable[T], otherwise: T) -> T:
    try:
        return await question
    except CommandFailed as failure:
        if failure.code in (Exit.FORBIDDEN, Exit.NOT_FOUND):
            return otherwise
        raise


def _when(event: Json) -> str:
    return text(event, "lastTimestamp") or text(event, "eventTime")


def _describe(kind: Known, found: Json) -> None:
    obj = part(found, "object")
    meta = part(obj, "metadata")
    head: Json = {
        "Name": meta.get("name"),
        "Namespace": meta.get("namespace"),
        "Kind": kind.kind,
        "Age": age(meta.get("creationTimestamp")),
        "Annotations": {k: v for k, v in part(meta, "annotations").items() if k.startswith(GROUP)},
    }
    if "deletionTimestamp" in meta:
        head["Deletion"] = f"asked for {age(meta['deletionTimestamp'])} ago"
    _fields(head)
    for name in ("spec", "status"):
        shown = {k: v for k, v in part(obj, name).items() if k not in _ELSEWHERE}
        _fields({name.capitalize(): shown})
    _tables(found, obj)


def _tables(found: Json, obj: Json) -> None:
    conditions = [
        (*(c.get(part) for part in ("type", "status", "reason")), _since(c), c.get("message"))
        for c in items(obj, "status.conditions")
    ]
    _table("Conditions", ("TYPE", "STATUS", "REASON", "AGE", "MESSAGE"), conditions)
    for stack in (part(found, "stack"), *items(found, "otherStacks")):
        _stack(stack)
    _table("Bindings", ("NAME", "SECRET", "READY", "CREDENTIAL"), _bindings(found))
    events = [
        (age(_when(e)), e.get("type"), e.get("reason"), e.get("message"))
        for e in items(found, "events")
    ]
    _table("Events", ("AGE", "TYPE", "REASON", "MESSAGE"), events)


def _since(condition: Json) -> str:
    return age(condition.get("lastTransitionTime"))


def _stack(stack: Json) -> None:
    if not part(stack, "status"):
        return
    native = text(stack, "status.nativeStatus")
    say(f"Native stack: {text(stack, 'status.externalName')} ({native or 'unknown'})")
    resources = [
        (r.get("logicalId"), r.get("type"), r.get("status"), r.get("physicalId"), r.get("reason"))
        for r in items(stack, "status.resources")
    ]
    _table("Resources", ("LOGICAL ID", "TYPE", "STATUS", "PHYSICAL ID", "REASON"), resources)
    events = [
        (age(e.get("time")), e.get("logicalId"), e.get("status"), e.get("reason"))
        for e in items(stack, "status.events")[-_NATIVE_EVENTS:]
    ]
    _table("Native events (newest last)", ("AGE", "LOGICAL ID", "STATUS", "REASON"), events)


def _bindings(found: Json) -> list[Row]:
    return [
        (
            text(binding, "metadata.name"),
            text(binding, "status.binding.name"),
            condition(binding, "Ready").get("status", "Unknown"),
            text(binding, "status.credential"),
        )
        for binding in items(found, "bindings")
    ]


def _fields(fields: Json, indent: str = "") -> None:
    for name, value in fields.items():
        if value in ("", None, {}, []):
            continue
        if isinstance(value, dict):
            say(f"{indent}{name}:")
            _fields(cast("Json", value), indent + "  ")
        else:
            say(f"{indent}{name}: {_short(value)}")


def _short(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    entries = cast("list[Any]", value)
    if any(isinstance(entry, dict | list) for entry in entries):
        return f"({len(entries)} entries)"
    return ", ".join(str(entry) for entry in entries)


def _table(title: str, head: Sequence[str], rows: Sequence[Row]) -> None:
    if rows:
        say(f"{title}:")
        columns(head, rows)
