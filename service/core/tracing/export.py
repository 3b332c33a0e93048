"""Exports traces by OpenTelemetry's SDK, an optional dependency that only this file imports."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

from ... import __version__
from .. import logs
from ..logs.settings import SettingsError

SERVICE_NAME = "detect-gateway"
FLUSH_S = 1.0  # for the last spans, at shutdown
SLOW_S = 1.0  # a collector that takes longer is not waited for
LOG_INTERVAL_S = 60


class Export:
    """A thread sends spans in batches from a bounded queue. A collector that does not take them
    delays nothing else; spans beyond the queue's size are lost.

    Raises SettingsError for a variable that OpenTelemetry rejects.
    """

    def __init__(self) -> None:
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [LimitedHandler()], False
        # Its own variables name the service, if they are set.
        named = OTELResourceDetector().detect().attributes
        ours = {"service.name": SERVICE_NAME, "service.version": __version__}
        try:
            self._exporter = WatchedExporter(_exporter())
            processor = BatchSpanProcessor(self._exporter)
        except Exception as error:  # its classes differ by variable
            raise SettingsError(f"OpenTelemetry rejects an OTEL_* variable: {error}") from error
        self._provider = TracerProvider(
            resource=Resource.create({**ours, **named}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        logs.event("tracing", sampler=self._provider.sampler.get_description())

    def tracer(self) -> Tracer:
        return self._provider.get_tracer("detect", __version__)

    def stop(self) -> None:
        """Export the last spans, in at most `FLUSH_S`; skip it if the collector does not answer."""
        # In a thread, because the SDK's own timeout is half a minute.
        flush = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        flush.start()
        flush.join(FLUSH_S if self._exporter.answers() else 0)


def _exporter() -> SpanExporter:
    """For the protocol that OpenTelemetry's variables name. The exporter reads the others."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((value for name in names if (value := os.environ.get(name))), "grpc")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
            OTLPSpanExporter as HTTPSpanExporter,
        )

        return HTTPSpanExporter()
    raise SettingsError(
        f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r}: must be 'grpc' or 'http/protobuf'"
    )


class WatchedExporter(SpanExporter):
    """Knows whether the collector answers."""

    def __init__(self, exporter: SpanExporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._failed = False
        self._called_at: float | None = None  # while a call lasts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._called_at = self._clock()
        try:
            result = self._exporter.export(spans)
        finally:
            self._called_at = None
        self._failed = result is not SpanExportResult.SUCCESS
        return result

    def answers(self) -> bool:
        called_at = self._called_at
        slow = called_at is not None and self._clock() - called_at > SLOW_S
        return not (self._failed or slow)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class LimitedHandler(logs.Handler):
    """At most one line a minute from each of OpenTelemetry's loggers, as a warning: some warn of
    every request or span."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._next.get(record.name, 0):
            self._next[record.name] = now + LOG_INTERVAL_S
            record.levelno = logging.WARNING
            super().emit(record)
