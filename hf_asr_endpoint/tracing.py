"""Traces of requests and jobs, by OpenTelemetry: one span for each, and one for each of its parts.

Everything here does nothing where the packages of the extra `traces` are missing, and costs next to nothing where
no endpoint is set. Spans hold no key, no text and no query, and of an error its type only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from hf_asr_endpoint import __version__

try:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode

    HAS_PACKAGES = True
except ImportError:
    HAS_PACKAGES = False

logger = logging.getLogger(__name__)

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Of OpenTelemetry's specification, like all other variables that its packages read."""
SERVICE_NAME = "hf-asr-endpoint"
FLUSH_TIMEOUT_S = 3.0  # for the last spans, at the end of the process

Attribute = str | float | None


class Part:
    """A span, or nothing."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None if nothing is recorded."""
        if self._span is None or not self._span.is_recording():
            return None
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def tell(self, **attributes: Attribute) -> None:
        """Set attributes of the project's own, for example `audio_s`, which becomes `hf_asr.audio_s`."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(f"hf_asr.{name}", value)

    def respond(self, status: str) -> None:
        """Set the status of the response; it is not a number if the client has left before."""
        if self._span is None or not status.isdecimal():
            return
        self._span.set_attribute("http.response.status_code", int(status))
        if int(status) >= 500:
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def trace_request(method: str, path: str, *, api: str, headers: Mapping[str, str]) -> Iterator[Part]:
    """Record a request, as a part of the client's trace if it has one (W3C `traceparent`).

    Source of the names: OpenTelemetry's semantic conventions for HTTP servers.
    """
    if not HAS_PACKAGES:
        yield Part()
        return
    attributes = {"http.request.method": method, "url.path": path, "hf_asr.api": api}
    context = propagate.extract(headers)
    tracer = trace.get_tracer(SERVICE_NAME, __version__)
    with tracer.start_as_current_span(
        f"{method} {api}",
        context,
        SpanKind.SERVER,
        attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield Part(span)


@contextmanager
def trace_part(name: Literal["receive", "transcribe", "job"], **attributes: Attribute) -> Iterator[Part]:
    """Record a part of the request, or a job. It may end in another task than the one in which it begins."""
    if not HAS_PACKAGES:
        yield Part()
        return
    span = trace.get_tracer(SERVICE_NAME, __version__).start_span(name)
    part = Part(span)
    part.tell(**attributes)
    try:
        yield part
    except BaseException as exc:
        span.set_attribute("error.type", type(exc).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()


def start_tracing() -> None:
    """Send traces to the endpoint in the environment, if there is one, unless `opentelemetry-instrument` does."""
    variable = next((name for name in ENDPOINT_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("%s is set, but traces need packages: pip install 'hf-asr-endpoint[traces]'", variable)
        return
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    name = os.environ.get("OTEL_SERVICE_NAME", SERVICE_NAME)
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    logger.info("traces are sent to %s", os.environ[variable])


def flush_traces() -> None:
    """Send what has not been sent. A signal may end the process right after."""
    if HAS_PACKAGES and (flush := getattr(trace.get_tracer_provider(), "force_flush", None)) is not None:
        flush(round(FLUSH_TIMEOUT_S * 1000))
