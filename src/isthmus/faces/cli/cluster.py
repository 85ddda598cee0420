"""``cluster``: what people need of a cluster beside its object: a kubeconfig."""

import base64
import binascii
import os
from pathlib import Path
from typing import Annotated

import typer

from isthmus.api.meta import API_VERSION
from isthmus.api.v1alpha1 import Cluster
from isthmus.core.compose.cluster import KUBECONFIG_KEY, kubeconfig_name
from isthmus.faces.cli import common
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.objects import part, text
from isthmus.faces.cli.output import note, say
from isthmus.ports import Api

CLUSTERS = Api(API_VERSION, Cluster.names.plural)
SECRETS = Api("v1", "secrets")

app = typer.Typer(no_args_is_help=True, help="Kubernetes clusters that Isthmus made or attached.")


@app.command("kubeconfig")
@common.verb
async def kubeconfig(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Cluster.")],
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Write it there, for you alone to read; else it is printed."),
    ] = None,
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
