"""The verbs that start processes, added to those of the command line."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from isthmus import drivers
from isthmus.faces.cli import common, main
from isthmus.faces.cli.kubeconfig import state_dir
from isthmus.faces.hooks import Hooks

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="State folder; else ~/.local/share/isthmus."),
]
LogFormat = Annotated[str, typer.Option("--log-format", help="console or json.", metavar="FORMAT")]
LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL")]
OtelEndpoint = Annotated[
    str, typer.Option("--otel-endpoint", help="OTLP/HTTP address for traces; off without it.")
]


def command() -> typer.Typer:
    """Return the whole command line."""
    app = main.build(Hooks(load_driver=drivers.load, driver_names=drivers.names))
    app.command("up")(up)
    app.command("controllers")(controllers)
    app.command("demo")(demo)
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("rotate-key")(rotate_key)
    return app


def up(
    data_dir: DataDir = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="Port of the API on 127.0.0.1; 0 takes a free one. [7443]"),
    ] = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Also start the AWS lab and register it.")
    ] = False,
    lab_scale: Annotated[
        float | None,
        typer.Option("--lab-scale", min=0, max=1, help="Share of AWS's delays that the lab takes."),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option("--client-ca", help="Authorities whose client certificates log users in."),
    ] = None,
    authentication_config: Annotated[
        Path | None,
        typer.Option("--authentication-config", help="Issuers of OpenID Connect tokens."),
    ] = None,
    audit_log: Annotated[
        Path | None, typer.Option("--audit-log", help="Write who did what into this file.")
    ] = None,
    audit_policy: Annotated[
        Path | None,
        typer.Option("--audit-policy", help="What goes into it; else a line for each request."),
    ] = None,
    log_format: LogFormat = "console",
    log_level: LogLevel = "INFO",
    otel_endpoint: OtelEndpoint = "",
) -> None:
    """Run API, controllers and catalog in one process until Ctrl-C."""
    from isthmus.app import home

    settings = home.Settings(
        data_dir=(data_dir or state_dir()).absolute(),
        port=port,
        sandbox=sandbox,
        lab_scale=lab_scale,
        client_ca=client_ca,
        authentication_config=authentication_config,
        audit_log=audit_log,
        audit_policy=audit_policy,
        log_json=log_format == "json",
        log_level=log_level.upper(),
        otel_endpoint=otel_endpoint,
    )
    common.guarded(lambda: home.run(settings))


def controllers(
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Of the Lease. [isthmus-system]")
    ] = "",
    lease_seconds: Annotated[
        float,
        typer.Option(
            "--lease-seconds", min=3, help="After so long without a leader another leads."
        ),
    ] = 15,
    listen: Annotated[
        str,
        typer.Option("--listen", help="HOST:PORT for /livez, /readyz and /metrics; off without."),
    ] = "",
    log_format: LogFormat = "console",
    log_level: LogLevel = "INFO",
    otel_endpoint: OtelEndpoint = "",
) -> None:
    """Run the controllers on a cluster of Kubernetes: the first one leads, others stand by."""
    from isthmus.app import on_cluster

    settings = on_cluster.Settings(
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        lease=timedelta(seconds=lease_seconds),
        listen=listen,
        log_json=log_format == "json",
        log_level=log_level.upper(),
        otel_endpoint=otel_endpoint,
    )
    common.guarded(lambda: on_cluster.run(settings))


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when the story is proven, instead of staying up.")
    ] = False,
) -> None:
    """Tell the story of the product on a simulated AWS: order, bind, log in, change, delete."""
    from isthmus.app import demo

    common.guarded(lambda: demo.run(once=once))


def backup(
    file: Annotated[Path, typer.Argument(help="The backup; must not exist yet.")],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="Write the keys, without which no Secret is read, here."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Back all objects and users up, whether Isthmus runs or not; Secrets stay encrypted."""
    from isthmus.app import backups

    common.guarded(lambda: backups.save(file, keys, (data_dir or state_dir()).absolute()))


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    keys: Annotated[Path | None, typer.Option("--keys", help="What `backup --keys` wrote.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a state folder of a backup; start it with `up` afterwards."""
    from isthmus.app import backups

    common.guarded(lambda: backups.restore(file, keys, (data_dir or state_dir()).absolute()))


def rotate_key(data_dir: DataDir = None) -> None:
    """Encrypt all Secrets with a new key, and forget the old one."""
    from isthmus.app import backups

    common.guarded(lambda: backups.rotate_key((data_dir or state_dir()).absolute()))
