"""What quotas count, how they refuse, and what they give back."""

from typing import Any

from tests.apiserver_client import WIDGETS, Client, widget
from tests.polling import eventually

HOME = "/api/v1/namespaces/default"
QUOTAS, SECRETS, EVENTS = (f"{HOME}/{plural}" for plural in ("resourcequotas", "secrets", "events"))
COUNTED = "count/widgets.example.com"
MERGE = "application/merge-patch+json"


async def limited(api: Client, hard: dict[str, Any], name: str = "q") -> Any:
    made = await api("POST", QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard}})
    assert made.code == 201, made.json
    return made.json["spec"]["hard"]


async def used(api: Client, wanted: dict[str, str]) -> None:
    """Wait until the quota says that this is used."""

    async def holds() -> bool:
        return (await api("GET", f"{QUOTAS}/q")).json["status"].get("used") == wanted

    await eventually(holds)


async def secret(api: Client, name: str, query: str = "") -> Any:
    return await api("POST", SECRETS + query, {"metadata": {"name": name}})


async def test_limits_are_written_as_kubernetes_writes_quantities(api: Client) -> None:
    hard = await limited(api, {"secrets": "1000", "pods": "1.0", COUNTED: "0.5k", "services": 7})

    assert hard == {"secrets": "1k", "pods": "1", COUNTED: "500", "services": "7"}
    await used(api, {"secrets": "0", "pods": "0", COUNTED: "0", "services": "0"})


async def test_all_that_is_exceeded_is_named(api: Client) -> None:
    await limited(api, {"secrets": "1", "count/secrets": "1", "configmaps": "1"})
    await secret(api, "a")

    refused = await secret(api, "b")

    assert refused.code == 403
    assert refused.json["message"].endswith(
        "exceeded quota: q, requested: count/secrets=1,secrets=1, used: count/secrets=1,secrets=1,"
        " limited: count/secrets=1,secrets=1"
    )


async def test_a_full_quota_refuses_what_is_there_already_too_but_tells_first_what_is_wrong(
    api: Client,
) -> None:
    await limited(api, {COUNTED: "1"})
    await api("POST", WIDGETS, widget())

    assert (await api("POST", WIDGETS, widget())).code == 403
    assert (await api("POST", WIDGETS, widget("b", size=0))).code == 422
    refused = await api("POST", WIDGETS, widget("b", none=1))
    assert refused.code == 403
    assert "unknown field" in refused.headers["warning"]
    assert (await api("PATCH", f"{WIDGETS}/a", {"spec": {"size": 2}}, kind=MERGE)).code == 200


async def test_what_goes_makes_room_once_it_is_gone(api: Client) -> None:
    await limited(api, {COUNTED: "1"})
    held = widget()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api("POST", WIDGETS, held)
    await api("DELETE", f"{WIDGETS}/a")

    await used(api, {COUNTED: "1"})
    assert (await api("POST", WIDGETS, widget("b"))).code == 403
    await api("PATCH", f"{WIDGETS}/a", {"metadata": {"finalizers": None}}, kind=MERGE)
    await used(api, {COUNTED: "0"})
    assert (await api("POST", WIDGETS, widget("b"))).code == 201


async def test_events_and_what_is_not_served_are_not_counted(api: Client) -> None:
    hard = {"count/events": "0", "count/events.events.k8s.io": "0", "count/namespaces": "0"}
    await limited(api, {**hard, "count/nothings.example.com": "0", "count/deployments.apps": "0"})

    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "reason": "A"}
    assert (await api("POST", EVENTS, event)).code == 201
    await used(api, {"count/deployments.apps": "0"})


async def test_each_quota_of_a_namespace_holds(api: Client) -> None:
    await limited(api, {"secrets": "5"})
    await limited(api, {"secrets": "0"}, "none")

    assert "quota: none" in (await secret(api, "a", "?dryRun=All")).json["message"]
    await api("DELETE", f"{QUOTAS}/none")
    assert (await secret(api, "a")).code == 201
    await api("PATCH", f"{QUOTAS}/q", {"spec": {"hard": {"secrets": "1"}}}, kind=MERGE)
    assert (await secret(api, "b")).code == 403
