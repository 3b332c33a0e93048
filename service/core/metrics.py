"""The gateway's Prometheus metrics."""

import platform
from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from .. import __version__
from . import logs
from .rollout_metrics import RolloutMetrics

# From 1 ms to 14 s in steps of at most 1.43, so that a quantile is exact to a fifth of its value.
# The usual latency targets, 0.1, 0.25, 0.5 and 1 s, are bounds: the share within each is exact.
_DECADE = (1, 1.4, 1.9, 2.5, 3.5, 5, 7)
SECONDS = (*(round(i * 10**e, 5) for e in range(-3, 1) for i in _DECADE), 10.0, 14.0)
BYTES = tuple(float(2**i) for i in range(12, 28))  # 4 KiB to 128 MiB

# No `_created` series beside each counter: no dashboard queries them.
disable_created_metrics()  # type: ignore[no-untyped-call]

Instrument = TypeVar("Instrument", bound=MetricWrapperBase)


def cached_labels(instrument: Instrument) -> Callable[..., Instrument]:
    """`instrument.labels`, taking its lock only at the first call with the same values."""
    return cache(instrument.labels)


class Metrics:
    """One registry per gateway, so that two in one process (in tests) do not mix.

    A metric with labels is called with their values: `metrics.requests("/detect", 200).inc()`.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = cached_labels(
            Counter("detect_requests", "HTTP responses.", ["route", "code"], registry=registry)
        )
        self.request_seconds = cached_labels(
            Histogram(
                "detect_request_duration_seconds",
                "Time from the request's headers to the last byte of the response, by status class"
                " (2xx, 4xx, 5xx).",
                ["route", "code_class"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self.backend_seconds = cached_labels(
            Histogram(
                "detect_backend_duration_seconds",
                "Duration of one call to a model server, by track, version and gRPC status code.",
                ["model", "track", "version", "code"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self.backend_retries = cached_labels(
            Counter(
                "detect_backend_retries",
                "Calls retried because a model server could not be reached.",
                ["model"],
                registry=registry,
            )
        )
        # Without a cache: model servers come and go.
        self.backend_ejected = Gauge(
            "detect_backend_ejected",
            "1 while this model server gets no requests because it failed and others work.",
            ["model", "track", "backend"],
            registry=registry,
        )
        self.images = cached_labels(
            Counter(
                "detect_images",
                "Images with a response.",
                ["model", "track", "version"],
                registry=registry,
            )
        )
        self.detections = cached_labels(
            Counter(
                "detect_detections",
                "Detections returned, by label.",
                ["model", "track", "version", "label"],
                registry=registry,
            )
        )
        self.upload_bytes = Histogram(
            "detect_upload_bytes", "Size of an uploaded image.", buckets=BYTES, registry=registry
        )
        self.in_flight = cached_labels(
            Gauge(
                "detect_in_flight",
                "Images being processed by a model server.",
                ["model"],
                registry=registry,
            )
        )
        self.held_bytes = Gauge(
            "detect_held_bytes",
            "Memory held by uploads and their copies, at most DETECT_MAX_HELD_BYTES.",
            registry=registry,
        )
        self.queue_length = cached_labels(
            Gauge(
                "detect_queue_length", "Images waiting in the queue.", ["model"], registry=registry
            )
        )
        self.rejected = cached_labels(
            Counter(
                "detect_rejected",
                "Images without detections in the response, by reason. `model` is empty where the"
                " request was rejected before it was known.",
                ["model", "reason"],
                registry=registry,
            )
        )
        self.suspected = cached_labels(
            Counter(
                "detect_suspected",
                "Valid images sent again, because the model server rejected the batch they were"
                " in.",
                ["model"],
                registry=registry,
            )
        )
        self.backend_ready = cached_labels(
            Gauge(
                "detect_backend_ready",
                "1 while the model is AVAILABLE, by track: `stable`, `canary` or `shadow`.",
                ["model", "track"],
                registry=registry,
            )
        )
        self.model_info = Gauge(
            "detect_model_info",
            "The model version in use, by track.",
            ["name", "track", "version"],
            registry=registry,
        )
        self.rollout = RolloutMetrics(registry)
        self.build_info = Info(
            "detect_build", "Versions of the gateway and of Python.", registry=registry
        )
        self.build_info.info({"version": __version__, "python": platform.python_version()})
        self.log_dropped = DroppedLogLines()
        registry.register(self.log_dropped)

    def show_version(self, name: str, version: int | None, track: str = "stable") -> None:
        """Export the version that is AVAILABLE, or none; the previous one is removed."""
        self.backend_ready(name, track).set(version is not None)
        self.model_info.remove_by_labels({"name": name, "track": track})
        if version is not None:
            self.model_info.labels(name, track, version).set(1)
            if track != "shadow":
                self.images(name, track, version)  # exported as 0 before the first one


class DroppedLogLines(Collector):
    """Counts for the whole process, like its log."""

    def describe(self) -> Iterator[CounterMetricFamily]:
        return self.collect()

    def collect(self) -> Iterator[CounterMetricFamily]:
        text = "Log lines lost because standard error was full, stalled or closed."
        yield CounterMetricFamily("detect_log_dropped", text, value=logs.dropped())
