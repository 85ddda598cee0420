"""What the runtime tells operators: logs with one id a reconcile, metrics, and traces.

Logs are structured events with a constant message. Metrics are Prometheus'. Traces use the
OpenTelemetry API only; without an SDK (``isthmus[otel]``) they cost nothing. The trace of an object
is derived from the uid and generation of its root owner, so that the reconciles of an instance, of
its stack and the native events of the cloud are one trace, with nothing written on the objects.
"""

import hashlib
import logging
import re
import sys
import time
from collections.abc import Generator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from isthmus.errors import IsthmusError

disable_created_metrics()  # A second series a metric that nobody asks for.
_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)

QUEUE_DEPTH = Gauge("isthmus_queue_depth", "Objects waiting for a reconcile.", ["controller"])
RECONCILES = Histogram(
    "isthmus_reconcile_seconds",
    "Time of one reconcile.",
    ["controller", "outcome"],
    buckets=_BUCKETS,
)
DRIVER_CALLS = Histogram(
    "isthmus_driver_call_seconds",
    "Time of one call to a driver.",
    ["driver", "call", "outcome"],
    buckets=_BUCKETS,
)
LEADER = Gauge("isthmus_leader", "1: this process of `isthmus controllers` leads; 0: it stands by.")
STATUS_WRITES = Counter("isthmus_status_writes", "Status writes.", ["controller"])

_PROVIDER: ContextVar[trace.TracerProvider | None] = ContextVar("_PROVIDER", default=None)
_SECRET = re.compile(r"pass(word|wd)?|secret|token|authorization|credential|private.?key", re.I)


def configure(*, level: str = "INFO", json: bool = True) -> None:
    """Set up structured logs on standard error."""
    renderer: Any = structlog.processors.JSONRenderer()
    if not json:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values whose names say that they are secret. A last line of defence."""
    for key in event:
        if _SECRET.search(key):
            event[key] = "***"
    return event


class Timed:
    """The outcome of a timed block, set by whoever knows it."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.outcome = "done"


@contextmanager
def reconcile(controller: str, trace_key: str) -> Generator[Timed, None, None]:
    """Time one reconcile and trace it."""
    started = time.perf_counter()
    with _span(f"reconcile {controller}", trace_key) as span:
        timed = Timed(span)
        try:
            yield timed
        finally:
            span.set_attribute("outcome", timed.outcome)
            elapsed = time.perf_counter() - started
            _series(RECONCILES, controller, timed.outcome).observe(elapsed)


@contextmanager
def driver_call(driver: str, call: str) -> Generator[None, None, None]:
    """Time one call to a driver and trace it."""
    started, outcome = time.perf_counter(), "done"
    with _span(f"{driver} {call}") as span:
        try:
            yield
        except IsthmusError as err:
            outcome = err.reason
            raise
        except BaseException:
            outcome = "Broken"
            raise
        finally:
            span.set_attribute("outcome", outcome)
            elapsed = time.perf_counter() - started
            _series(DRIVER_CALLS, driver, call, outcome).observe(elapsed)


@cache
def _series(metric: Histogram, *labels: str) -> Histogram:
    """Return one series of a metric; finding it takes longer than the observation."""
    return metric.labels(*labels)


def _span(name: str, trace_key: str = "") -> AbstractContextManager[Span]:
    """Start a span; without an SDK there is nobody to see it, so it is none."""
    provider = _PROVIDER.get() or trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        return nullcontext(trace.INVALID_SPAN)
    tracer = provider.get_tracer("isthmus")
    if not trace_key:
        return tracer.start_as_current_span(name)
    root = trace.set_span_in_context(NonRecordingSpan(_context(trace_key)))
    return tracer.start_as_current_span(name, context=root)


@contextmanager
def traced_by(provider: trace.TracerProvider) -> Generator[None, None, None]:
    """Trace with this provider, not with the process's own, whatever is started within."""
    token = _PROVIDER.set(provider)
    try:
        yield
    finally:
        _PROVIDER.reset(token)


def native_event(name: str, attributes: dict[str, str]) -> None:
    """Put an event of the native engine on the current span."""
    trace.get_current_span().add_event(name, attributes)


def _context(trace_key: str) -> SpanContext:
    seed = hashlib.sha256(trace_key.encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(seed[:16], "big"),
        span_id=int.from_bytes(seed[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
