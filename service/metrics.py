"""Every instrument of the gateway."""

from collections.abc import Callable
from functools import cache
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# Steps of about 1.4 from 1 ms to 15 s: a P90 anywhere between is known to a fifth of itself.
SECONDS = tuple(round(0.001 * 1.4**i, 5) for i in range(29))
BYTES = tuple(float(2**i) for i in range(12, 28))  # 4 KiB to 128 MiB


# Without a second series for each counter, that no dashboard asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


Instrument = TypeVar("Instrument", bound=MetricWrapperBase)


def kept(instrument: Instrument) -> Callable[..., Instrument]:
    """Its children by the values of its labels, each looked up under the lock only once."""
    return cache(instrument.labels)


class Metrics:
    """One registry for one gateway, so that two in a process (the tests) do not mix.

    An instrument with labels is called with their values: `metrics.requests("/detect", 200).inc()`.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = kept(
            Counter("detect_requests", "Requests answered.", ["route", "code"], registry=registry)
        )
        self.request_seconds = kept(
            Histogram(
                "detect_request_duration_seconds",
                "From the request's head to the last byte of the answer.",
                ["route"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self.backend_seconds = kept(
            Histogram(
                "detect_backend_duration_seconds",
                "One call to the model server, by gRPC status code.",
                ["code"],
                buckets=SECONDS,
                registry=registry,
            )
        )
        self.backend_retries = Counter(
            "detect_backend_retries",
            "Calls made again because a model server could not be reached.",
            registry=registry,
        )
        self.backend_ejected = kept(
            Gauge(
                "detect_backend_ejected",
                "1 while this target is left out, as long as there are others.",
                ["backend"],
                registry=registry,
            )
        )
        self.images = Counter(
            "detect_images", "Pictures answered with detections.", registry=registry
        )
        self.detections = kept(
            Counter(
                "detect_detections", "Detections returned, by label.", ["label"], registry=registry
            )
        )
        self.upload_bytes = Histogram(
            "detect_upload_bytes", "Size of an uploaded picture.", buckets=BYTES, registry=registry
        )
        self.held_bytes = Gauge(
            "detect_held_bytes",
            "Memory held by uploads and their copies, at most DETECT_MAX_HELD_BYTES.",
            registry=registry,
        )
        self.in_flight = Gauge("detect_in_flight", "Pictures at the backend.", registry=registry)
        self.queue_length = Gauge(
            "detect_queue_length", "Pictures waiting for a place at the backend.", registry=registry
        )
        self.rejected = kept(
            Counter(
                "detect_rejected",
                "Pictures that were not answered with detections, by reason.",
                ["reason"],
                registry=registry,
            )
        )
        self.suspected = Counter(
            "detect_suspected",
            "Right pictures that the model server refused, maybe for a neighbour in a batch, and"
            " that were sent again.",
            registry=registry,
        )
        self.backend_ready = Gauge(
            "detect_backend_ready", "1 while the model is AVAILABLE.", registry=registry
        )
        self.model_info = Gauge(
            "detect_model_info", "The version that answers.", ["name", "version"], registry=registry
        )

    def show_version(self, name: str, version: int | None) -> None:
        """The one version that is AVAILABLE, or none; an older one is no longer exposed."""
        self.backend_ready.set(version is not None)
        self.model_info.clear()
        if version is not None:
            self.model_info.labels(name, version).set(1)
