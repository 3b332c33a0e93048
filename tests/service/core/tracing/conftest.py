"""A gateway that exports its spans to a collector."""

from collections.abc import Iterator

import pytest

from tests.support.fakes.collector import Collector
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield collector


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(delay_s=0.02) as fake:
        yield fake


@pytest.fixture(scope="module")
def traced(collector: Collector, backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target, tracing="on", max_in_flight=1, models="yolov4,voc"
    ) as gateway:
        yield gateway


@pytest.fixture
def gateway(traced: GatewayProcess, collector: Collector, backend: FakeBackend) -> GatewayProcess:
    collector.spans.clear()
    backend.metadata.clear()
    return traced
