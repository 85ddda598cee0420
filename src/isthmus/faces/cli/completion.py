"""What a shell offers on TAB: kinds, then the names of objects on the server."""

import asyncio

import typer

from isthmus.faces.cli import kubeconfig
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed
from isthmus.faces.cli.kinds import KNOWN, resolve
from isthmus.ports import Api


def objects(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer kinds, and after ``KIND/`` the names of its objects."""
    if "/" not in incomplete:
        return [f"{k.names[1]}/" for k in KNOWN if k.names[1].startswith(incomplete.lower())]
    kind = incomplete.split("/", 1)[0]
    return [f"{kind}/{name}" for name in _names(ctx, kind) if f"{kind}/{name}" >= incomplete]


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the namespaces of the server."""
    return [name for name in _names(ctx, "namespace") if name.startswith(incomplete)]


def offerings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the catalog's names."""
    return [name for name in _names(ctx, "offering") if name.startswith(incomplete)]


def _names(ctx: typer.Context, kind: str) -> list[str]:
    """Return names, or none where the server cannot be asked: completion never fails loudly."""
    given = {key: str(ctx.params.get(key) or "") for key in ("kubeconfig", "context", "namespace")}
    try:
        target = kubeconfig.load(given["kubeconfig"], given["context"], given["namespace"])
        return asyncio.run(_ask(target, kind))
    except (CommandFailed, OSError):
        return []


async def _ask(target: kubeconfig.Target, kind: str) -> list[str]:
    async with Client(target) as client:
        api: Api = (await resolve(client, kind)).api
        items = await client.list(api, target.namespace if api.namespaced else "")
    return [str(item["metadata"]["name"]) for item in items]
