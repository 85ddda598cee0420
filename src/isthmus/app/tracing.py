"""Traces, where somebody wants them: the SDK is only imported then."""

from collections.abc import Generator
from contextlib import contextmanager

from isthmus.faces.cli.failures import CommandFailed, Exit


@contextmanager
def exported(endpoint: str) -> Generator[None]:
    """Send the traces of the block to an OTLP/HTTP endpoint; nothing happens without one.

    Raises:
        CommandFailed: The extra ``otel`` is not installed.
    """
    if not endpoint:
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise CommandFailed(
            "--otel-endpoint: traces need an extra; pip install 'isthmus[otel]'", Exit.USAGE
        ) from exc
    provider = TracerProvider(resource=Resource.create({"service.name": "isthmus"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
