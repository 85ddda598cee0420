"""What the services' files have in common: the INI form, log-ins, database, broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus_lab_openstack.settings import HOST, PASSWORD, REGION, Settings

Value = str | int | Path | Sequence[str]
Section = Mapping[str, Value]
Files = dict[str, str]
"""Text by the file's path below `etc`."""

RABBIT: Section = {"rabbit_quorum_queue": "false", "heartbeat_rate": 3}
MIDDLEWARE: dict[str, Section] = {
    "oslo_middleware": {
        "enable_proxy_headers_parsing": "true",
        "max_request_body_size": 8 * 1024 * 1024,
    }
}
PATIENCE_SECONDS = 240
"""How long a service may be silent before it counts as down: one machine carries all of them."""


def ini(sections: Mapping[str, Section]) -> str:
    """Write sections in oslo.config's form; a list becomes one line for each of its items."""
    lines: list[str] = []
    for name, section in sections.items():
        lines.append(f"[{name}]")
        for key, value in section.items():
            values = [value] if isinstance(value, str | int | Path) else value
            lines += [f"{key} = {one}" for one in values]
    return "\n".join(lines) + "\n"


def identity_url(lab: Settings) -> str:
    """Keystone's address, with its version."""
    return lab.url("keystone") + "/v3"


def log_in(lab: Settings, user: str) -> dict[str, Value]:
    """How a service authenticates at others."""
    return {
        "auth_type": "password",
        "auth_url": identity_url(lab),
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "project_name": "service",
        "username": user,
        "password": PASSWORD,
        "region_name": REGION,
    }


def service_user(lab: Settings, user: str) -> Section:
    """As `log_in`, and send it along with the user's token: detaching a volume needs it."""
    return log_in(lab, user) | {"send_service_user_token": "true"}


def token_check(lab: Settings, user: str, service_type: str) -> Section:
    """How a service checks the tokens of its callers."""
    return log_in(lab, user) | {
        "www_authenticate_uri": identity_url(lab),
        "memcached_servers": memcached(lab),
        "service_token_roles": "service",
        "service_token_roles_required": "true",
        "service_type": service_type,
    }


def memcached(lab: Settings) -> str:
    """The cache's address."""
    return f"{HOST}:{lab.port('memcached')}"


def basics(lab: Settings, service: str, **more: Value) -> Section:
    """The DEFAULT section that nearly every service wants."""
    return {
        "transport_url": f"rabbit://lab:{PASSWORD}@{HOST}:{lab.port('rabbit')}/",
        "state_path": lab.var / service,
        "host": "lab",
        "use_stderr": "true",
        "debug": "false",
        "rpc_response_timeout": PATIENCE_SECONDS,
        **more,
    }


def database_url(lab: Settings, name: str) -> str:
    """The address of a database."""
    return f"mysql+pymysql://lab:{PASSWORD}@{HOST}:{lab.port('mysql')}/{name}?charset=utf8mb4"


def database(lab: Settings, name: str) -> Section:
    """A database section."""
    return {"connection": database_url(lab, name), "max_pool_size": 8, "max_overflow": 30}


def locks(lab: Settings, service: str) -> Section:
    """Where a service keeps its lock files."""
    return {"lock_path": lab.var / service / "lock"}


def paste(venv: Path, service: str, name: str = "api-paste.ini") -> Path:
    """A file that the service's own distribution installs below the environment's etc."""
    return venv / "etc" / service / name
