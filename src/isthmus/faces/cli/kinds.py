"""What a person may write for a kind: its name, plural, short name or qualified name."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from isthmus.api.meta import API_VERSION, Json
from isthmus.api.v1alpha1 import KINDS, Claim
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.ports import Api


@dataclass(frozen=True, slots=True)
class Known:
    """A kind that the server serves."""

    kind: str
    api: Api
    names: tuple[str, ...]


def _ours() -> Iterable[Known]:
    for model in KINDS:
        names = model.names
        api = Api(API_VERSION, names.plural, names.namespaced)
        spoken = (names.plural, names.kind.lower(), names.qualified, *names.short)
        yield Known(names.kind, api, spoken)


KNOWN: tuple[Known, ...] = (
    *_ours(),
    Known("Secret", Api("v1", "secrets"), ("secrets", "secret")),
    Known("ConfigMap", Api("v1", "configmaps"), ("configmaps", "configmap", "cm")),
    Known("Event", Api("v1", "events"), ("events", "event", "ev")),
    Known("Namespace", Api("v1", "namespaces", False), ("namespaces", "namespace", "ns")),
)
"""Those that need no question to the server."""


_CLAIMS = {model.names.kind: model for model in KINDS if issubclass(model, Claim)}


def stack_of(kind: str, name: str) -> str:
    """Return the name of the Stack of a claim; empty for a kind that has none of its own."""
    model = _CLAIMS.get(kind)
    return model.stack_of(name) if model is not None else ""


async def resolve(client: Client, word: str) -> Known:
    """Return the kind that a word means.

    Raises:
        CommandFailed: The server serves none of that name.
    """
    lower = word.lower()
    found = _match(KNOWN, lower) or _match(await discover(client), lower)
    if found is None:
        ours = ", ".join(known.names[0] for known in KNOWN)
        raise CommandFailed(
            f"KIND: the server knows no kind {word!r}; there are, among others: {ours}",
            Exit.NOT_FOUND,
        )
    return found


async def of_manifest(client: Client, body: Json) -> Known | None:
    """Return the kind of a manifest, or None where the server does not serve it."""
    wanted = (body["apiVersion"], body["kind"])
    for candidates in (KNOWN, await _group(client, body["apiVersion"])):
        for known in candidates:
            if (known.api.group_version, known.kind) == wanted:
                return known
    return None


async def discover(client: Client) -> list[Known]:
    """Return every kind that the server serves."""
    groups = await client.request("GET", "/apis")
    versions = ["v1"] + [str(g["preferredVersion"]["groupVersion"]) for g in groups["groups"]]
    return [known for version in versions for known in await _group(client, version)]


async def _group(client: Client, group_version: str) -> list[Known]:
    prefix = "/api" if group_version == "v1" else "/apis"
    try:
        listing = await client.request("GET", f"{prefix}/{group_version}")
    except CommandFailed as failure:
        if failure.code == Exit.NOT_FOUND:
            return []
        raise
    resources = cast("list[Json]", listing.get("resources") or [])
    return [_known(group_version, item) for item in resources if "/" not in item["name"]]


def _known(group_version: str, item: Json) -> Known:
    plural, kind = str(item["name"]), str(item["kind"])
    group = group_version.rpartition("/")[0].partition("/")[0]
    names = {plural, kind.lower(), f"{plural}.{group}", str(item.get("singularName") or plural)}
    names |= set(cast("list[str]", item.get("shortNames") or []))
    return Known(kind, Api(group_version, plural, item["namespaced"] is True), tuple(names))


def _match(candidates: Iterable[Known], word: str) -> Known | None:
    return next((known for known in candidates if word in known.names), None)
