"""One gateway for all dialects, before a backend whose answers a test chooses."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend, Row, answer
from tests.support.processes.gateway_process import GatewayProcess, wait_for

DOG: Row = ("dog", 16, 0.75, (10.25, 20.5, 60.0, 90.0))
BIKE: Row = ("motorbike", 3, 0.5, (-5.0, 3.0, 2000.0, 40.0))
MOUSE: Row = ("mouse", 64, 0.125, (1.0, 1.0, 2.0, 2.0))


@pytest.fixture(scope="package")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend(lambda _: answer([DOG, BIKE, MOUSE])) as fake:
        yield fake


@pytest.fixture(scope="package")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target, max_upload_bytes=100_000, max_pixels=1_000_000, max_batch_pictures=4
    ) as process:
        wait_for(lambda: process.http.get("/readyz").status_code == 200)
        yield process


@pytest.fixture
def http(gateway: GatewayProcess) -> httpx.Client:
    return gateway.http


@pytest.fixture(autouse=True)
def _usual_answers(backend: FakeBackend) -> Iterator[None]:
    good = backend.reply
    yield
    backend.reply = good
    backend.pictures.clear()
