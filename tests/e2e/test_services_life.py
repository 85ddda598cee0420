"""Every service of the catalog lives in each home, on the AWS lab, from creation to nothing left.

All lives run side by side, as they would on a real installation; each test asserts on one of them.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
import psycopg
import pymysql
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.catalog_files import offering as offering_of
from tests.homes import HOMES, running
from tests.sandboxed import Sandboxed
from tests.services import SERVICES, Service

pytestmark = [pytest.mark.labs, pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(repr=False)
class Life:
    """What was seen in the life of one instance."""

    steps: list[str] = field(default_factory=list)
    problem: str = ""
    secret: dict[str, str] = field(default_factory=dict)
    native: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    used: str = ""
    refused: str = ""


def live(home: Sandboxed, service: Service) -> Life:
    life, name = Life(), service.offering
    try:
        _live(home, service, name, life)
    except Exception as exc:  # noqa: BLE001 - The test of this service shows it.
        life.problem = f"after {life.steps}: {exc}"
    return life


def _live(home: Sandboxed, service: Service, name: str, life: Life) -> None:
    spec = {"offering": name, "plan": "dev", "parameters": service.parameters}
    home.apply("ServiceInstance", name, spec)
    home.until_ready("serviceinstances", name)
    life.native.append(_native(home, name))
    life.steps.append("created")

    if not service.needs or shutil.which(service.needs):
        home.apply("ServiceBinding", name, {"instance": name, "strategy": service.strategy})
        home.until_ready("servicebindings", name)
        life.secret = home.secret(name) or {}
        life.used = use(home, life.secret)
        life.leaked = leaks(home, life.secret)
        life.steps.append("bound")

    home.apply("ServiceInstance", name, spec | {"parameters": service.parameters | service.change})
    home.until_ready("serviceinstances", name)
    life.native.append(_native(home, name))
    life.steps.append("updated")

    if "bound" in life.steps:
        home.delete("servicebindings", name)
        home.until_gone("servicebindings", name)
        assert home.secret(name) is None, "the Secret goes with its binding"
        life.refused = refusal(home, life.secret)
        life.steps.append("unbound")

    home.delete("serviceinstances", name)
    home.until_gone("serviceinstances", name)
    life.steps.append("deleted")


def _native(home: Sandboxed, name: str) -> str:
    stack = home.get("stacks", name)
    assert stack is not None
    return stack["status"]["nativeStatus"]


def leaks(home: Sandboxed, secret: dict[str, str]) -> list[str]:
    """Return the keys whose values are shown anywhere but in the Secret."""
    shown = home.shown()
    private = ("password", "uri", "secret-access-key", "jdbc-url")
    return [k for k in private if len(secret.get(k, "")) > 8 and _private(secret, k) in shown]


def _private(secret: dict[str, str], key: str) -> str:
    """A URL without the password in it is no secret."""
    password = secret.get("password", "")
    return password if password and key in ("uri", "jdbc-url") else secret[key]


def use(home: Sandboxed, secret: dict[str, str]) -> str:
    """Do something with the credential that only the credential can do."""
    if "password" in secret:
        return str(sql(home, secret))
    return identity(home, secret)


def refusal(home: Sandboxed, secret: dict[str, str]) -> str:
    """Return the words with which the dead credential is refused."""
    try:
        use(home, secret)
    except (psycopg.OperationalError, pymysql.OperationalError, ClientError) as exc:
        return str(exc)
    return ""


def sql(home: Sandboxed, secret: dict[str, str]) -> Any:
    authority = home.folder / f"ca-{secret['username']}.crt"
    authority.write_text(secret.get("ca.crt", ""))
    if secret["type"] == "mysql":
        return _mysql(secret, str(authority))
    with psycopg.connect(
        host=secret["host"],
        port=int(secret["port"]),
        dbname=secret["database"],
        user=secret["username"],
        password=secret["password"],
        sslmode="verify-full",
        sslrootcert=str(authority),
        connect_timeout=10,
    ) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS lamps (name text)")
        connection.execute("INSERT INTO lamps VALUES ('desk')")
        return connection.execute("SELECT name FROM lamps").fetchone()


def _mysql(secret: dict[str, str], authority: str) -> Any:
    with (
        pymysql.connect(
            host=secret["host"],
            port=int(secret["port"]),
            database=secret["database"],
            user=secret["username"],
            password=secret["password"],
            ssl_ca=authority,
            ssl_verify_cert=True,
            ssl_verify_identity=True,
            connect_timeout=10,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE TABLE IF NOT EXISTS lamps (name text)")
        cursor.execute("INSERT INTO lamps VALUES ('desk')")
        cursor.execute("SELECT name FROM lamps")
        return cursor.fetchone()


def identity(home: Sandboxed, secret: dict[str, str]) -> str:
    provider = home.get("providers", "aws-sandbox", namespace="")
    assert provider is not None
    # A session of its own: many threads are here, and making clients of one is not safe.
    client = boto3.Session().client(
        "sts",
        endpoint_url=provider["spec"]["settings"]["endpointUrl"],
        region_name=secret["region"],
        aws_access_key_id=secret["access-key-id"],
        aws_secret_access_key=secret["secret-access-key"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    return client.get_caller_identity()["Arn"]


@dataclass(frozen=True, repr=False)
class Seen:
    """What was seen of all lives, and after them."""

    lives: dict[str, Life]
    orphans: list[Any]
    left: Any
    log: str


@pytest.fixture(scope="module", params=HOMES)
def seen(tmp_path_factory, request):
    asked = [i.callspec.params for i in request.session.items if hasattr(i, "callspec")]
    services = [s for s in SERVICES if s in [p.get("service") for p in asked]]
    with running(request, tmp_path_factory.mktemp("life")) as home:
        before = home.lab("state")
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            lives = list(pool.map(lambda service: live(home, service), services))
        yield Seen(
            dict(zip([s.offering for s in services], lives, strict=True)),
            home.orphans(),
            home.left_in_lab(before),
            home.log.read_text(),
        )


def ids(service: Service) -> str:
    return service.offering


@pytest.mark.parametrize("service", SERVICES, ids=ids)
def test_life(seen: Seen, service: Service):
    life: Life = seen.lives[service.offering]
    assert not life.problem
    assert life.steps[0] == "created"
    assert life.steps[-1] == "deleted"
    assert life.native == ["CREATE_COMPLETE", "UPDATE_COMPLETE"]


@pytest.mark.parametrize("service", SERVICES, ids=ids)
def test_binding(seen: Seen, service: Service):
    if service.needs and not shutil.which(service.needs):
        pytest.skip(f"{service.needs} is not installed: no real log-in behind {service.offering}")
    life: Life = seen.lives[service.offering]
    binding = offering_of(service.offering).spec.binding
    assert binding is not None
    promised = set(binding.keys) | {"type", "provider", "region"}
    assert promised <= set(life.secret), "every key that the offering promises"
    assert not [key for key in promised if "${" in life.secret[key]], "and every key is filled in"
    assert life.used, "the credential works"
    assert life.refused, "and is worthless after the unbinding"


def test_nothing_is_left(seen: Seen):
    assert seen.orphans == []
    assert seen.left == {}


@pytest.mark.parametrize("service", SERVICES, ids=ids)
def test_no_secret_is_shown(seen: Seen, service: Service):
    life = seen.lives[service.offering]
    assert life.leaked == []
    password = life.secret.get("password", life.secret.get("secret-access-key", ""))
    assert not password or password not in seen.log
