"""The processes of a lab: what is run, in which order, and how one sees that it serves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus_lab_openstack.configuration import nova
from isthmus_lab_openstack.settings import HOST, INSIDE, PLUGINS, Settings


@dataclass(frozen=True, kw_only=True)
class Program:
    """One process. It is healthy once its `port` takes calls, or `health` answers."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int = 0
    health: str = ""
    grace_seconds: float = 20


@dataclass(frozen=True)
class _Api:
    application: str
    folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    health: str = "/"
    processes: int = 1
    threads: int = 8
    """Of each process."""


_APIS = {
    # Its middleware keeps the token of a request where every thread of the process finds it.
    "keystone": _Api("keystone.wsgi.api", health="/v3", processes=4, threads=1),
    "placement": _Api("placement.wsgi.api"),
    "glance": _Api("glance.wsgi.api", health="/versions"),
    "neutron": _Api("neutron.wsgi.api", "", {"OS_NEUTRON_CONFIG_FILES": "neutron.conf"}),
    # Nova wants its api-paste.ini named first.
    "nova": _Api(
        "nova.wsgi.osapi_compute",
        "",
        {"OS_NOVA_CONFIG_FILES": "api-paste.ini;nova.conf;db.conf"},
    ),
    "cinder": _Api("cinder.wsgi.api"),
    "heat": _Api("heat.wsgi.api"),
    "heatcfn": _Api("heat.wsgi.cfn", "heat"),
    "magnum": _Api("magnum.wsgi.api"),
    "octavia": _Api("octavia.wsgi.api"),
}
_UWSGI = (
    "--master", "--no-orphans", "--enable-threads", "--lazy-apps", "--die-on-term", "--need-app",
    "--buffer-size", "65535", "--add-header", "Connection: close", "--disable-logging",
    "--listen", "100", "--worker-reload-mercy", "5",
)  # fmt: skip


def infrastructure(lab: Settings) -> tuple[Program, ...]:
    """Database, cache and broker. A port mapper of our own comes before the broker's."""
    rabbit = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    memcached = ("/usr/bin/memcached", "-l", HOST, "-p", str(lab.port("memcached")))
    epmd = (shutil.which("epmd") or "/usr/bin/epmd", "-port", str(lab.port("epmd")))
    return (
        Program(
            name="mysql",
            command=("/usr/sbin/mariadbd", f"--defaults-file={lab.etc}/mysql.cnf"),
            port=lab.port("mysql"),
            grace_seconds=60,
        ),
        Program(
            name="memcached",
            command=(*memcached, "-m", "64", "-U", "0", "-u", "root"),
            port=lab.port("memcached"),
        ),
        Program(name="epmd", command=(*epmd, "-address", HOST), port=lab.port("epmd")),
        Program(
            name="rabbit",
            command=(rabbit,),
            environment=_rabbit(lab),
            port=lab.port("rabbit"),
        ),
    )


def _rabbit(lab: Settings) -> dict[str, str]:
    var, etc = lab.var / "rabbit", lab.etc / "rabbit"
    quiet = "+sbwt none +sbwtdcpu none +sbwtdio none"
    return {
        "HOME": str(var),
        "RABBITMQ_HOME": "/usr/lib/rabbitmq",
        "RABBITMQ_NODENAME": "lab@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(lab.port("rabbit")),
        "RABBITMQ_DIST_PORT": str(lab.port("rabbitdist")),
        "ERL_EPMD_PORT": str(lab.port("epmd")),
        "ERL_EPMD_ADDRESS": HOST,
        "RABBITMQ_MNESIA_BASE": str(var / "mnesia"),
        "RABBITMQ_LOG_BASE": str(lab.log / "rabbit"),
        "RABBITMQ_PID_FILE": str(var / "pid"),
        "RABBITMQ_CONFIG_FILE": str(etc / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(etc / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(var / "config"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(var / "features"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
        + quiet,
    }


def apis(lab: Settings, binaries: Path) -> tuple[Program, ...]:
    """The HTTP faces of the chosen services, keystone first."""
    names = [name for name in _APIS if lab.has(_APIS[name].folder or name)]
    found = [_uwsgi(lab, binaries, name) for name in names]
    if lab.has("ironic"):
        found.append(_ironic(lab, binaries))
    return tuple(found)


def _uwsgi(lab: Settings, binaries: Path, name: str) -> Program:
    api = _APIS[name]
    service = api.folder or name
    socket = ("--http-socket", f"{HOST}:{lab.port(name)}")
    module = ("--module", "isthmus_lab_plugins.front:application")
    return Program(
        name=f"{name}-api",
        command=(
            binaries / "uwsgi", *socket, *module, *_UWSGI,
            "--processes", str(api.processes), "--threads", str(api.threads),
            "--procname-prefix", f"lab-{name} ", "--virtualenv", binaries.parent,
        ),
        environment={
            "HOME": str(lab.etc / service),
            f"OS_{service.upper()}_CONFIG_DIR": str(lab.etc / service),
            "ISTHMUS_LAB_APPLICATION": api.application,
            "ISTHMUS_LAB_SERVICE": name,
            **api.environment,
        },
        health=lab.url(name) + api.health,
    )  # fmt: skip


def _ironic(lab: Settings, binaries: Path) -> Program:
    configuration = ("--config-file", lab.etc / "ironic" / "ironic.conf")
    return Program(
        name="ironic",
        command=(binaries / "python", INSIDE / "ironic_with_faults.py", *configuration),
        environment={
            **lab.compute_environment,
            "ISTHMUS_LAB_SERVICE": "ironic",
            "PYTHONPATH": ":".join(map(str, (PLUGINS, *lab.driver_path))),
        },
        health=lab.url("ironic") + "/",
    )


def daemons(lab: Settings, binaries: Path) -> tuple[Program, ...]:
    """What works behind the APIs: schedulers, conductors, engines, compute hosts."""
    found: list[Program] = []
    if lab.has("nova"):
        control = (*_file(lab, "nova"), "--config-file", lab.etc / "nova" / "db.conf")
        found += [
            Program(name=name, command=(binaries / name, *control))
            for name in ("nova-conductor", "nova-scheduler")
        ]
        found += [
            _compute(lab, binaries, f"nova-compute-{index}", nova.folder(index))
            for index in range(lab.computes)
        ]
        if lab.has("ironic"):
            found.append(_compute(lab, binaries, "nova-compute-metal", nova.METAL_FOLDER))
    simple = {
        "cinder": ("cinder-scheduler", "cinder-volume"),
        "magnum": ("magnum-conductor",),
    }
    for service, names in simple.items():
        if lab.has(service):
            found += [
                Program(name=name, command=(binaries / name, *_file(lab, service)))
                for name in names
            ]
    if lab.has("heat"):
        own = ("--config-file", lab.etc / "heat" / "engine.conf")
        engine = (binaries / "heat-engine", *_file(lab, "heat"), *own)
        found.append(Program(name="heat-engine", command=engine))
        agent = (binaries / "python", INSIDE / "guest_agent.py")
        found.append(Program(name="guest-agent", command=agent))
    return tuple(found)


def _compute(lab: Settings, binaries: Path, name: str, folder: str) -> Program:
    own = lab.etc / folder / "nova.conf"
    return Program(
        name=name,
        command=(binaries / "nova-compute", "--config-file", own),
        environment=lab.compute_environment,
        grace_seconds=40,
    )


def _file(lab: Settings, service: str) -> tuple[str | Path, ...]:
    return ("--config-file", lab.etc / service / f"{service}.conf")
