"""``cluster``: what people need of a cluster beside its object: a kubeconfig."""

import asyncio
import base64
import binascii
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from isthmus.api.meta import API_VERSION, ROTATE
from isthmus.api.v1alpha1 import Cluster
from isthmus.core.compose.cluster import KUBECONFIG_KEY, kubeconfig_name
from isthmus.faces.cli import common
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.objects import part, text
from isthmus.faces.cli.output import note, say
from isthmus.ports import Api
from isthmus.runtime.kube import MERGE_PATCH, path_of

CLUSTERS = Api(API_VERSION, Cluster.names.plural)
SECRETS = Api("v1", "secrets")

_DONE = "status.rotation"
_ROTATION_SECONDS, _PAUSE_SECONDS = 60, 0.3

app = typer.Typer(no_args_is_help=True, help="Kubernetes clusters that Isthmus made or attached.")


@app.command("kubeconfig")
@common.verb
async def kubeconfig(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Cluster.")],
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Write it there, for you alone to read; else it is printed."),
    ] = None,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate",
            help="Have a new one made first; those before it hold until their certificates end.",
        ),
    ] = False,
    namespace: common.Namespace = "",
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Hand out an administrator's kubeconfig of a cluster. Keep it safe: it may do everything."""
    async with common.connect(kubeconfig, context, namespace) as client:
        found = await client.find(CLUSTERS, client.target.namespace, name)
        if found is None:
            raise CommandFailed(f"cluster/{name}: not found", Exit.NOT_FOUND)
        attached = part(found, "spec.kubeconfigSecret")
        if rotate:
            await _rotate(client, name, attached=bool(attached))
        secret = text(attached, "name") or kubeconfig_name(name)
        key = text(attached, "key") or KUBECONFIG_KEY
        held = await client.find(SECRETS, client.target.namespace, secret)
    config = _decoded(text(part(held, "data"), key))
    if not config:
        raise CommandFailed(
            f"cluster/{name}: it has no kubeconfig yet; `isthmus why cluster/{name}` says why",
            Exit.TIMEOUT,
        )
    if file is None:
        say(config.rstrip("\n"))
        return
    _write(file, config)
    note(f"written to {file}; use it as: kubectl --kubeconfig {file} get nodes")


async def _rotate(client: Client, name: str, *, attached: bool) -> None:
    """Ask for a new kubeconfig, and wait until it is there."""
    if attached:
        raise CommandFailed(
            f"cluster/{name}: --rotate: its kubeconfig is yours; put a new one into its Secret",
            Exit.USAGE,
        )
    wanted = datetime.now(UTC).isoformat(timespec="milliseconds")
    path = path_of(CLUSTERS, client.target.namespace, name)
    patch = {"metadata": {"annotations": {ROTATE: wanted}}}
    await client.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
    try:
        async with asyncio.timeout(_ROTATION_SECONDS):
            while True:
                found = await client.get(CLUSTERS, client.target.namespace, name)
                if text(found, _DONE) == wanted:
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError as exc:
        raise CommandFailed(
            f"cluster/{name}: there is no new kubeconfig yet; `isthmus why cluster/{name}` says "
            "why, and it is made as soon as that is over",
            Exit.TIMEOUT,
        ) from exc


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _write(file: Path, config: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            os.fchmod(descriptor, 0o600)
            out.write(config)
    except OSError as exc:
        raise CommandFailed(f"--file: {file}: {exc.strerror}", Exit.USAGE) from exc
