"""A gateway process with short timeouts, and a check that no test leaves a connection open."""

from collections.abc import Iterator

import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.processes.gateway_process import GatewayProcess, wait_for

UPLOAD_LIMIT = 2_000_000


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        backend=backend.target,
        head_timeout_s=1,
        upload_timeout_s=1.5,
        send_timeout_s=1,
        keep_alive_s=3,
        max_upload_bytes=UPLOAD_LIMIT,
    ) as process:
        yield process


@pytest.fixture
def nothing_leaks(backend: FakeBackend, gateway: GatewayProcess) -> Iterator[None]:
    """After the test the gateway answers, has no connection left, and has logged no exception."""
    assert gateway.http.get("/livez").status_code == 200
    before = gateway.descriptors()
    yield
    backend.delay_s = 0
    assert gateway.http.get("/livez").status_code == 200
    wait_for(lambda: gateway.descriptors() <= before, within_s=15)
    assert gateway.log("Exception in ASGI application\n") == []
