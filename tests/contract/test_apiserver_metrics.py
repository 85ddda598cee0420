"""`/metrics` of the API by itself, read by Prometheus' own parser."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def told(api: Client) -> dict[tuple[str, ...], float]:
    """Values by a metric's name and labels, without those that are empty."""
    text = (await api("GET", "/metrics")).body.decode()
    return {
        (sample.name, *(f"{n}={v}" for n, v in sorted(sample.labels.items()) if v)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_requests_are_counted_and_timed(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", DEFINITIONS, widget_definition())
        for name in ("a", "b"):
            await api("POST", WIDGETS, widget(name))
        await api("GET", f"{WIDGETS}/none")
        await api("GET", f"{WIDGETS}/a/scale")
        await api("GET", "/apis/example.com/v1/widgets")
        found = await told(api)

    of = ("group=example.com", "resource=widgets")
    made = ("scope=namespace", "verb=POST", "version=v1")
    assert found[("apiserver_request_total", "code=201", *of, *made)] == 2
    timed = ("apiserver_request_duration_seconds_count", *of, *made)
    assert found[timed] == 2
    buckets = [value for name, value in found.items() if name[0].endswith("_bucket")
               and set(name) >= {*of, *made}]  # fmt: skip
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2
    read = ("scope=resource", "verb=GET", "version=v1")
    assert found[("apiserver_request_total", "code=404", *of, *read)] == 1
    scale = (*of, "scope=resource", "subresource=scale", "verb=GET", "version=v1")
    assert found[("apiserver_request_total", "code=200", *scale)] == 1
    everywhere = (*of, "scope=cluster", "verb=LIST", "version=v1")
    assert found[("apiserver_request_total", "code=200", *everywhere)] == 1
    assert found[("apiserver_resource_objects", *of)] == 2


async def test_watches_are_counted_and_not_timed(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        async with api.watch(f"{CONFIG_MAPS}?watch=1&sendInitialEvents=true"
                             "&resourceVersionMatch=NotOlderThan") as stream:  # fmt: skip
            assert (await stream.next())["type"] == "BOOKMARK"
            during = await told(api)
        after = await told(api)

    watching = ("apiserver_longrunning_requests", "resource=configmaps", "verb=WATCH")
    assert during[watching] == 1
    assert watching not in after
    watched = [name for name in after if "verb=WATCH" in name]
    assert [name[0] for name in watched] == ["apiserver_request_total"]


async def test_nobody_makes_series_of_their_own(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        for number in range(3):
            await api("GET", f"/apis/g{number}.example.com/v1/things")
            await api("GET", f'/api/v1/namespaces/default/configmaps/a/sub"{number}')
        await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        found = await told(api)

    counts = {name: value for name, value in found.items() if name[0] == "apiserver_request_total"}
    assert counts == {
        ("apiserver_request_total", "code=404", "verb=LIST"): 3,
        ("apiserver_request_total", "code=404", "verb=GET"): 3,
        ("apiserver_request_total", "code=201", "group=authentication.k8s.io",
         "resource=selfsubjectreviews", "scope=cluster", "verb=POST", "version=v1"): 1,
    }  # fmt: skip


async def test_metrics_are_for_who_may_read_them(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, api):
        answer = await api("GET", "/metrics")
        tenant = Client(server, server.issue_token("dev", []))
        assert (await tenant("GET", "/metrics")).code == 403

    assert answer.code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
