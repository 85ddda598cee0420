"""The audit log: one line a request, what the policy asks for, and never a secret."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import audit_policy
from isthmus.apiserver.audit_policy import Level, Policy, Rule
from isthmus.apiserver.authn import User
from isthmus.apiserver.config import AuditConfig
from isthmus.apiserver.configuration import InvalidConfiguration
from isthmus.apiserver.targets import parse_path
from tests.apiserver_client import Client, running

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
EVERYTHING = Policy((Rule(Level.REQUEST),))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_who_did_what(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with running(tmp_path / "home", audit=AuditConfig(log)) as (server, api):
        await api("POST", f"{CONFIG_MAPS}?dryRun=All", {"metadata": {"name": "a"}})
        await Client(server, "nobody's")("GET", CONFIG_MAPS)
        anna = Client(server, server.issue_token("anna", ["devs"]), agent="kubectl/v1")
        await anna("GET", f"{SECRETS}/s")
        api.headers.append((b"impersonate-user", b"otto"))
        await api("GET", "/api")

    made, unknown, refused, other = lines(log)
    assert made["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "apiVersion": "v1",
    }  # fmt: skip
    assert (made["verb"], made["responseStatus"]["code"]) == ("create", 201)
    assert made["requestURI"].endswith("configmaps?dryRun=All")
    assert made["stage"] == "ResponseComplete"
    assert made["level"] == "Metadata"
    assert "requestObject" not in made
    assert made["requestReceivedTimestamp"] <= made["stageTimestamp"]
    assert (unknown["user"]["username"], unknown["responseStatus"]["code"]) == ("", 401)
    assert refused["user"] == {"username": "anna", "groups": ["devs", "system:authenticated"]}
    assert refused["responseStatus"]["code"] == 403
    assert refused["userAgent"] == "kubectl/v1"
    assert refused["objectRef"]["name"] == "s"
    assert other["user"]["username"] == "admin"
    assert other["impersonatedUser"]["username"] == "otto"
    assert (other["verb"], other["requestURI"]) == ("get", "/api")
    assert log.stat().st_mode & 0o777 == 0o600


async def test_a_watch_is_known_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with running(tmp_path / "home", audit=AuditConfig(log)) as (_, api):
        async with api.watch(
            f"{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        ) as stream:
            await stream.next()
            assert [line["stage"] for line in lines(log)] == ["ResponseStarted"]
        stages = [(line["verb"], line["stage"]) for line in lines(log)]
        assert stages == [("watch", "ResponseStarted"), ("watch", "ResponseComplete")]


async def test_no_secret_is_ever_written(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with running(tmp_path / "home", audit=AuditConfig(log, EVERYTHING)) as (server, api):
        token = server.issue_token("anna", [])
        body: Any = {"metadata": {"name": "s"}, "stringData": {"x": "hunter2"}}
        await api("POST", SECRETS, body)
        await api("PUT", f"{SECRETS}/s", body)
        await api("PATCH", f"{SECRETS}/s", body, kind="application/merge-patch+json")
        await api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
        await api("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
        last = "kubectl.kubernetes.io/last-applied-configuration"
        body = {
            "metadata": {"name": "c", "annotations": {last: "hunter2"}},
            "data": {"dbPassword": "hunter2", "apiKey": "hunter2", "color": "blue"},
        }
        await api("POST", CONFIG_MAPS, body)
        patch = [{"op": "replace", "path": "/data/dbPassword", "value": "hunter2"}]
        await api("PATCH", f"{CONFIG_MAPS}/c", patch, kind="application/json-patch+json")
        await Client(server, token)("GET", CONFIG_MAPS)

    text = log.read_text()
    assert "hunter2" not in text
    assert token not in text
    assert "Bearer" not in text
    assert '"color":"blue"' in text
    assert '"dbPassword":"***"' in text
    assert [line["level"] for line in lines(log)][:5] == ["Metadata"] * 5


async def test_files_are_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    config = AuditConfig(log, file_bytes=3000, kept_files=2)
    async with running(tmp_path / "home", audit=config) as (_, api):
        for number in range(40):
            await api("GET", f"{CONFIG_MAPS}/c{number}")

    files = [log, tmp_path / "audit.log.1", tmp_path / "audit.log.2"]
    assert sorted(n for n in os.listdir(tmp_path) if n != "home") == [f.name for f in files]
    assert all(path.stat().st_size <= 3000 for path in files)
    names = [line["objectRef"]["name"] for path in reversed(files) for line in lines(path)]
    assert names == [f"c{number}" for number in range(40 - len(names), 40)]


async def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with running(tmp_path / "home", audit=AuditConfig(log)) as (server, api):
        audit = vars(server)["_audit"]
        file = vars(audit)["_file"]
        # Exchanged and not closed: whoever opens something meanwhile would get the same number.
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file, inheritable=False)
        os.close(full)
        assert (await api("GET", CONFIG_MAPS)).code == 200
        audit.close()
        assert (await api("GET", CONFIG_MAPS)).code == 200
    assert len([line for line in log.read_text().splitlines() if line]) == 1


POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [robot]}
- {level: None, nonResourceURLs: [/healthz*, /version]}
- {level: None, verbs: [watch], userGroups: [quiet]}
- level: Request
  verbs: [create, delete]
  resources:
  - {group: example.com, resources: [widgets, "*/status"]}
  - {group: "", resources: [secrets]}
  namespaces: [default]
- level: Metadata
  resources: [{group: ""}]
"""


@pytest.mark.parametrize(
    ("user", "verb", "path", "level"),
    [
        ("robot", "get", "/api/v1/nodes", Level.NONE),
        ("anna", "get", "/healthz/x", Level.NONE),
        ("anna", "get", "/openapi", Level.NONE),
        ("anna", "watch", "/api/v1/nodes", Level.NONE),
        ("otto", "watch", "/api/v1/nodes", Level.METADATA),
        ("anna", "create", "/apis/example.com/v1/namespaces/default/widgets", Level.REQUEST),
        ("anna", "create", "/apis/example.com/v1/namespaces/other/widgets", Level.NONE),
        ("anna", "create", "/apis/example.com/v1/namespaces/default/widgets/a/scale", Level.NONE),
        ("anna", "create", "/apis/example.com/v1/namespaces/default/x/a/status", Level.REQUEST),
        ("anna", "get", "/apis/example.com/v1/namespaces/default/widgets/a", Level.NONE),
        ("anna", "create", "/api/v1/namespaces/default/secrets", Level.METADATA),
    ],
)
def test_the_first_rule_that_fits(
    tmp_path: Path, user: str, verb: str, path: str, level: Level
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    policy = audit_policy.load(file)
    target = parse_path(path[1:].split("/")) if path.startswith("/api") else None
    groups = frozenset({"quiet"} if user == "anna" else set())

    assert policy.level(User(user, groups), verb, target, path) is level


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("level: Request", "level: RequestResponse", r"rules\[3\]\.level: must be one of None"),
        ("verbs: [watch]", "verb: [watch]", r"rules\[2\]\.verb: is not supported here"),
        ("[/healthz*, /version]", "/healthz", r"rules\[1\]\.nonResourceURLs: must be a list"),
        ("kind: Policy", "kind: Rules", "kind Policy"),
    ],
)
def test_a_wrong_policy_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY.replace(old, new))

    with pytest.raises(InvalidConfiguration, match=said) as caught:
        audit_policy.load(file)
    assert str(file) in str(caught.value)
