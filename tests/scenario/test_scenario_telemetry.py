"""What operators see: one trace from apply to native event, logs without secrets, few writes."""

import base64
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks import reconcile
from isthmus.api.v1alpha1 import ServiceBinding, ServiceInstance
from isthmus.runtime import telemetry
from isthmus.runtime.kinds import SECRETS
from tests.world import TEAM, a_binding, an_instance, scene


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with telemetry.traced_by(provider):
        yield exporter
    provider.shutdown()


@pytest.mark.looptime
async def test_instance_stack_driver_and_native_events_are_one_trace(
    spans: InMemorySpanExporter,
) -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
    finished = spans.get_finished_spans()
    (applied,) = [span for span in finished if span.name == "fake apply"]
    assert applied.context is not None
    of_trace = [
        span
        for span in finished
        if span.context is not None and span.context.trace_id == applied.context.trace_id
    ]
    names = {span.name for span in of_trace}
    assert {"reconcile serviceinstance", "reconcile stack", "fake observe"} <= names
    assert "reconcile provider" not in names
    natives = {event.name for span in of_trace for event in span.events}
    assert "CREATE_COMPLETE" in natives


def test_without_an_sdk_nothing_is_traced() -> None:
    with telemetry.reconcile("stack", "uid/1") as timed:
        assert timed.span is trace.INVALID_SPAN


@pytest.mark.looptime
async def test_no_secret_is_in_logs_events_or_status() -> None:
    with structlog.testing.capture_logs() as logs:
        async with scene() as here:
            await here.secret("keys", licence="hunter2-licence")
            wanted = {"licence": {"secretKeyRef": {"name": "keys", "key": "licence"}}}
            await here.apply(an_instance(parameters=wanted))
            await here.apply(a_binding())
            await here.ready(ServiceBinding, "app")
            await here.manager.events.flush()
            secret = await here.store.get(SECRETS, TEAM, "app")
            assert secret is not None
            password = base64.b64decode(secret["data"]["password"]).decode()
            told = [
                item
                for name in ("db", "app", "here", "database")
                for item in await here.events(name)
            ]
            binding = await here.get(ServiceBinding, "app")
            instance = await here.get(ServiceInstance, "db")
    shown = f"{logs} {told} {binding} {instance}"
    assert "hunter2-licence" not in shown
    assert password not in shown


async def test_the_benchmark_runs_and_each_change_is_one_status_write() -> None:
    result = await reconcile.run(12, driver_seconds=0.2)
    assert result.writes["replace serviceinstances status"] <= 2.2
    assert result.writes["replace stacks status"] <= 2.2
    assert result.writes["create stacks"] == 1
    assert result.driver_calls["apply"] == 1
    assert result.events_dropped == 0
    assert "instances/s beyond the driver's time" in reconcile.report(result)
