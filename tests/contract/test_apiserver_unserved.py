"""What is not served is refused in clear words, and the documentation lists it."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.unserved import CORE, GROUPS
from tests.apiserver_client import DEFINITIONS, Client, running, widget_definition

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "embedded-api.md"
REMEDY = "not served; use a Kubernetes cluster"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data") as (_, client):
        yield client


def refusal(answer: Any) -> str:
    """The message of a Status that says 404."""
    assert answer.code == 404
    status = answer.json
    assert (status["kind"], status["apiVersion"]) == ("Status", "v1")
    assert (status["status"], status["reason"], status["code"]) == ("Failure", "NotFound", 404)
    assert status["message"].startswith("the server could not find the requested resource")
    return status["message"]


@pytest.mark.parametrize(
    ("path", "about"),
    [
        ("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "admission webhooks"),
        ("admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "admission webhooks"),
        ("admissionregistration.k8s.io/v1/validatingadmissionpolicies", "admission policies"),
        ("apiregistration.k8s.io/v1/apiservices", "aggregated API servers"),
        ("flowcontrol.apiserver.k8s.io/v1/flowschemas", "priority levels and flow schemas"),
        ("apps/v1/namespaces/default/deployments", "workloads"),
        ("batch/v1/namespaces/default/jobs", "workloads"),
        ("certificates.k8s.io/v1/certificatesigningrequests", "sign certificates"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_other_groups(api: Client, method: str, path: str, about: str) -> None:
    message = refusal(await api(method, f"/apis/{path}", {} if method == "POST" else None))

    assert about in message
    assert REMEDY in message


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET"])
async def test_single_objects(api: Client, method: str) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a"
    assert REMEDY in refusal(await api(method, path, {}, kind="application/merge-patch+json"))


@pytest.mark.parametrize("plural", sorted(CORE))
async def test_core_group(api: Client, plural: str) -> None:
    assert REMEDY in refusal(await api("GET", f"/api/v1/{plural}"))


@pytest.mark.parametrize("group", sorted(GROUPS))
async def test_discovery_names_the_reason_and_lists_none_of_them(api: Client, group: str) -> None:
    for path in (f"/apis/{group}", f"/apis/{group}/v1"):
        assert REMEDY in refusal(await api("GET", path))
    groups = {found["name"] for found in (await api("GET", "/apis")).json["groups"]}
    assert group not in groups


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_documentation_lists_the_group(group: str) -> None:
    assert f"`{group}`" in PAGE.read_text()


async def test_unknown_group_has_no_reason_to_tell(api: Client) -> None:
    message = refusal(await api("GET", "/apis/nowhere.example.com/v1/things"))
    assert message == "the server could not find the requested resource"


async def test_conversion_webhooks_are_refused_by_field(api: Client) -> None:
    definition = widget_definition()
    hook = {"clientConfig": {"url": "https://a.example.com"}, "conversionReviewVersions": ["v1"]}
    definition["spec"]["conversion"] = {"strategy": "Webhook", "webhook": hook}

    refused = await api("POST", DEFINITIONS, definition)

    assert refused.code == 422
    (cause,) = refused.json["details"]["causes"]
    assert cause["field"].startswith("spec.conversion")
    assert "conversion webhooks are not served" in cause["message"]


async def test_rights_come_first(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, _):
        stranger = Client(server, server.issue_token("tina", []))
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        assert (await stranger("GET", path)).code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes/n/proxy",
        "/api/v1/nodes/n/proxy/logs/x",
        "/api/v1/namespaces/default/services/y:80/proxy/a/b/c",
    ],
)
async def test_proxies_say_why_there_are_none(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as (_, api):
        answer = await api("GET", path)
        assert answer.code == 404
        assert "are not served" in answer.json["message"]
