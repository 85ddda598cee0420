"""Rules of the built-in kinds, bounds on requests, and what must not leak."""

import base64
import logging
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.apiserver import RequestRecord
from isthmus.apiserver.config import Limits
from isthmus.apiserver.store import StorageFailed
from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

SECRETS = "/api/v1/namespaces/default/secrets"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PASSWORD = "correct-horse-battery-staple"
ENCODED = base64.b64encode(PASSWORD.encode()).decode()
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data", limits=Limits(body_bytes=100_000, nesting=30)) as (
        _,
        client,
    ):
        yield client


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_secrets_are_not_readable_in_any_file(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        body = {"metadata": {"name": "s"}, "stringData": {"password": PASSWORD}}
        made = await api("POST", SECRETS, body)
        assert made.json["data"] == {"password": ENCODED}
        assert "stringData" not in made.json
        files = files_below(tmp_path)
        for path in files:
            content = path.read_bytes()
            assert PASSWORD.encode() not in content
            assert ENCODED.encode() not in content
        private = {"objects.sqlite", "secrets.key", "tokens.key"}
        for path in files:
            if path.name in private:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    async with running(tmp_path) as (_, api):
        assert (await api("GET", f"{SECRETS}/s")).json == made.json


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"password": PASSWORD}},
        {"data": PASSWORD},
        {"stringData": {"password": [PASSWORD]}},
        {"stringData": PASSWORD},
        {"type": {"x": PASSWORD}, "stringData": {"password": PASSWORD}},
    ],
)
async def test_refused_secret_shows_no_value_in_answer_or_log(
    api: Client, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    refused = await api("POST", SECRETS, {"metadata": {"name": "s"}, **body})

    assert refused.code in (400, 422)
    if "type" not in body:
        assert PASSWORD not in refused.body.decode()
    assert PASSWORD not in caplog.text


async def test_lost_key_is_told_at_the_start(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    (tmp_path / "secrets.key").unlink()

    with pytest.raises(StorageFailed, match=r"secrets\.key"):
        async with running(tmp_path):
            pass


async def test_rotated_key_reads_what_the_old_one_wrote(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    keys = tmp_path / "secrets.key"
    keys.write_text("ab" * 32 + "\n" + keys.read_text())

    async with running(tmp_path) as (_, api):
        assert (await api("GET", f"{SECRETS}/s")).json["data"] == {"a": "Yg=="}


async def test_immutable_config_map(api: Client) -> None:
    await api(
        "POST", CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True}
    )

    for change in ({"data": {"a": "2"}}, {"immutable": False}):
        assert (await api("PATCH", f"{CONFIG_MAPS}/c", change, kind=MERGE)).code == 422
    labels = {"metadata": {"labels": {"x": "y"}}}
    assert (await api("PATCH", f"{CONFIG_MAPS}/c", labels, kind=MERGE)).code == 200


async def test_strategic_patch_is_for_built_in_kinds(api: Client) -> None:
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}})
    patched = await api("PATCH", f"{CONFIG_MAPS}/c", {"data": {"a": None}}, kind=STRATEGIC)
    assert patched.json["data"] == {"b": "2"}

    await api("POST", DEFINITIONS, widget_definition())
    await api("POST", WIDGETS, widget())
    refused = await api("PATCH", f"{WIDGETS}/a", {"spec": {"size": 2}}, kind=STRATEGIC)
    assert refused.code == 415


async def test_role_reference_is_immutable(api: Client) -> None:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    body = {"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "view"}}
    assert (await api("POST", path, body)).code == 201

    change = {"roleRef": {"name": "edit"}}
    assert (await api("PATCH", f"{path}/b", change, kind=MERGE)).code == 422


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Upper", CONFIG_MAPS),
        ("under_score", CONFIG_MAPS),
        ("-dash", CONFIG_MAPS),
        ("a..b", CONFIG_MAPS),
        ("x" * 254, CONFIG_MAPS),
        ("dotted.name", "/api/v1/namespaces"),
        ("", CONFIG_MAPS),
        ("a/b", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        ("..", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ],
)
async def test_wrong_names(api: Client, name: str, path: str) -> None:
    refused = await api("POST", path, {"metadata": {"name": name}})

    assert refused.code == 422
    assert refused.json["details"]["causes"][0]["field"] == "metadata.name"


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"labels": {"a": "x" * 64}}, "metadata.labels"),
        ({"labels": {"bad key": "x"}}, "metadata.labels"),
        ({"labels": {"a": 1}}, "ObjectMeta.labels of type string"),
        ({"labels": "a"}, "ObjectMeta.labels"),
        ({"annotations": {"a": "x" * 70_000}}, None),
        ({"annotations": {"a": 1}}, "ObjectMeta.annotations"),
        ({"finalizers": "x"}, "ObjectMeta.finalizers"),
        ({"ownerReferences": [{}]}, "metadata.ownerReferences.uid"),
        ({"finalizers": ["bare"]}, "metadata.finalizers[0]"),
        ({"finalizers": ["example.com/a b"]}, "metadata.finalizers"),
        ({"finalizers": ["orphan", "foregroundDeletion"]}, "metadata.finalizers"),
    ],
)
async def test_wrong_metadata(api: Client, metadata: Any, field: str | None) -> None:
    answer = await api("POST", CONFIG_MAPS, {"metadata": {"name": "c", **metadata}})

    if field is None:
        assert answer.code == 201
    elif field.startswith("ObjectMeta"):
        assert answer.code == 400
        assert field in answer.json["message"]
    else:
        assert answer.code == 422
        assert field in {cause["field"] for cause in answer.json["details"]["causes"]}


async def test_generated_names_differ(api: Client) -> None:
    made = [
        (await api("POST", CONFIG_MAPS, {"metadata": {"generateName": "c-"}})).json["metadata"]
        for _ in range(3)
    ]

    assert len({metadata["name"] for metadata in made}) == 3
    assert all(metadata["name"].startswith("c-") for metadata in made)


DEEP: Any = {}
for _ in range(40):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"", 400),
        (b"\xff\xfe", 400),
        (b'{"metadata": []}', 400),
        (b'{"metadata": {"name": "x"}, "kind": "Secret"}', 400),
        (b'{"metadata": {"name": "x"}, "apiVersion": "v2"}', 400),
        (b'{"metadata": {"name": "x", "namespace": "other"}}', 400),
        (b'{"metadata": {"name": "x"}, "data": 7}', 422),
        (b" " * 100_001, 413),
    ],
)
async def test_bad_bodies(api: Client, body: bytes, code: int) -> None:
    answer = await api("POST", CONFIG_MAPS, body)

    assert answer.code == code
    assert answer.json["kind"] == "Status"


async def test_too_deep_a_body(api: Client) -> None:
    refused = await api("POST", CONFIG_MAPS, {"metadata": {"name": "x"}, "data": DEEP})

    assert refused.code == 400
    assert "nested" in refused.json["message"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/nothing.example.com/v1/things", 404),
        ("GET", "/api/v1/pods", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/a/b/c", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/a/status", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("POST", f"{CONFIG_MAPS}/a", 405),
        ("PUT", CONFIG_MAPS, 405),
        ("OPTIONS", CONFIG_MAPS, 405),
        ("GET", "/nothing", 404),
        ("POST", "/", 404),
        ("GET", "/openid/v1/jwks", 404),
    ],
)
async def test_paths_that_are_not_served(api: Client, method: str, path: str, code: int) -> None:
    answer = await api(method, path, {})

    assert (answer.code, answer.json["kind"]) == (code, "Status")


@pytest.mark.parametrize(
    "path", ["/version", "/api", "/apis", "/apis/apiextensions.k8s.io/v1", CONFIG_MAPS]
)
async def test_who_asks_for_heads_only_is_refused(api: Client, path: str) -> None:
    assert (await api("HEAD", path)).code == 405


async def test_heads_of_custom_objects(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    await api("POST", WIDGETS, widget("a"))

    assert [(await api("HEAD", WIDGETS + path)).code for path in ("", "/a", "/b")] == [
        200, 200, 404,
    ]  # fmt: skip
    assert (await api("HEAD", f"{WIDGETS}?watch=1")).code == 405


async def test_the_root_lists_what_there_is(api: Client) -> None:
    paths = (await api("GET", "/")).json["paths"]

    assert {"/api/v1", "/apis/rbac.authorization.k8s.io/v1", "/metrics", "/version"} <= set(paths)
    for path in paths:
        assert (await api("GET", path)).code == 200, path


async def test_refusals_are_in_the_form_that_is_taken(api: Client) -> None:
    refused = await api("GET", f"{CONFIG_MAPS}/none", accept="application/yaml")

    assert refused.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(refused.body)["reason"] == "NotFound"


async def test_observer_extra_routes_and_metrics(tmp_path: Path) -> None:
    records: list[RequestRecord] = []

    async def extra(scope: Any, receive: Any, send: Any) -> None:
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = scope["isthmus.user"].name.encode()
        await send({"type": "http.response.body", "body": body})

    options: dict[str, Any] = {
        "observer": records.append,
        "extra_routes": {"/extra": extra},
        "metrics": lambda: b"up 1\n",
    }
    async with running(tmp_path, **options) as (server, api):
        assert (await api("GET", "/extra/page")).body == b"admin"
        assert (await Client(server, "wrong")("GET", "/extra/page")).code == 401
        told = (await api("GET", "/metrics")).body
        assert told.startswith(b"# HELP apiserver_request_total ")
        assert told.endswith(b"\nup 1\n")
        tenant = Client(server, server.issue_token("dev", []))
        assert (await tenant("GET", "/metrics")).code == 403
        await api("GET", f"{CONFIG_MAPS}/none")

    assert [(r.verb, r.resource, r.code, r.user) for r in records] == [
        ("", "", 200, "admin"),
        ("", "", 401, ""),
        ("", "", 200, "admin"),
        ("", "", 403, "dev"),
        ("get", "configmaps", 404, "admin"),
    ]
    assert all(record.seconds >= 0 for record in records)


async def test_impersonation_is_a_right(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, admin):
        admin.headers.append((b"impersonate-user", b"dev"))
        assert (await admin("GET", CONFIG_MAPS)).code == 403
        dev = Client(server, server.issue_token("dev", []))
        dev.headers.append((b"impersonate-user", b"admin"))
        refused = await dev("GET", CONFIG_MAPS)
        assert refused.code == 403
        assert "cannot impersonate" in refused.json["message"]


QUOTAS = "/api/v1/namespaces/default/resourcequotas"


def quota(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": spec}


async def test_limits_may_be_written_as_numbers(api: Client) -> None:
    made = await api("POST", QUOTAS, quota(hard={"secrets": 5, "count/widgets.example.com": "2k"}))

    assert made.code == 201
    assert made.json["spec"]["hard"] == {"secrets": "5", "count/widgets.example.com": "2k"}


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ({"hard": {"secrets": -1}}, "spec.hard[secrets]", "greater than or equal to 0"),
        ({"hard": {"secrets": "1.5"}}, "spec.hard[secrets]", "must be an integer"),
        ({"hard": {"foo": 1}}, "spec.hard[foo]", "count/<plural>.<group>"),
        ({"hard": {"cpu": "2"}}, "spec.hard[cpu]", "count/<plural>.<group>"),
        ({"hard": {"secrets": 1}, "scopes": ["BestEffort"]}, "spec.scopes", "remove it"),
        ({"scopeSelector": {"matchExpressions": []}}, "spec.scopeSelector", "remove it"),
    ],
)
async def test_quotas_that_could_not_limit_are_refused(
    api: Client, spec: dict[str, Any], field: str, says: str
) -> None:
    refused = await api("POST", QUOTAS, quota(**spec))

    assert refused.code == 422
    (cause,) = refused.json["details"]["causes"]
    assert cause["field"] == field
    assert says in cause["message"]
