"""Connections to model servers: TLS, names that change their address, and coming back."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from service.backend.client import TFServing
from service.core import errors
from service.core.metrics import Metrics
from service.settings import Settings
from tests.support.fakes.dns_server import DnsServer
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.certificates import Certificates
from tests.support.project import free_port

SOON_S = 10  # gRPC's own patience is 30 s for names and 120 s for connections


def version(backend: str, **settings: Any) -> int:
    async def run() -> int:
        serving = TFServing("yolov4", Settings(backend=backend, **settings), Metrics())
        try:
            return await serving.version(5)
        finally:
            await serving.close()

    return asyncio.run(run())


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_tls(made: Certificates) -> None:
    with FakeBackend(credentials=made.server()) as backend:
        local = f"localhost:{backend.port}"
        assert version(local, backend_ca_file=str(made.ca)) == 3
        with pytest.raises(errors.NoBackend):  # not a certificate for an address
            version(backend.target, backend_ca_file=str(made.ca))
        named = {"backend_ca_file": str(made.ca), "backend_server_name": "localhost"}
        assert version(backend.target, **named) == 3
        with pytest.raises(errors.NoBackend):
            version(local)  # plain text


def test_a_server_that_another_authority_signed_is_refused(
    made: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Certificates(tmp_path / "other")
    named = {"backend_server_name": "localhost", "backend_ca_file": str(other.ca)}
    with (
        FakeBackend(credentials=made.server()) as backend,
        pytest.raises(errors.NoBackend) as caught,
    ):
        version(backend.target, **named)
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.__cause__.details()  # type: ignore[union-attr]


def test_mutual_tls(made: Certificates) -> None:
    cert, key = map(str, made.identity("gateway"))
    with FakeBackend(credentials=made.server(mutual=True)) as backend:
        tls = {"backend": f"localhost:{backend.port}", "backend_ca_file": str(made.ca)}
        assert version(**tls, backend_cert_file=cert, backend_key_file=key) == 3
        with pytest.raises(errors.NoBackend):
            version(**tls)


async def until_it_answers(serving: TFServing) -> None:
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            await serving.predict(b"", 1)
            return
        except errors.DetectError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


def test_a_name_that_moves_is_followed() -> None:
    async def run(backend: str, dns: DnsServer, here: FakeBackend) -> None:
        serving = TFServing("yolov4", Settings(backend=backend), Metrics())
        await serving.predict(b"", 5)
        dns.addresses = ["127.0.0.2"]
        with FakeBackend(host="127.0.0.2", port=here.port) as there:
            here.stop()
            await until_it_answers(serving)
            assert there.pictures
        await serving.close()

    with DnsServer("127.0.0.1") as dns, FakeBackend() as here:
        asyncio.run(run(f"dns://{dns.authority}/models.test:{here.port}", dns, here))


def test_all_addresses_of_a_name_are_asked_in_turn() -> None:
    async def run(backend: str) -> None:
        serving = TFServing("yolov4", Settings(backend=backend), Metrics())
        await serving.predict(b"", 5)  # until both are connected
        await asyncio.sleep(0.5)
        for _ in range(10):
            await serving.predict(b"", 5)
        await serving.close()

    with (
        DnsServer("127.0.0.1", "127.0.0.2") as dns,
        FakeBackend() as one,
        FakeBackend(host="127.0.0.2", port=one.port) as two,
    ):
        asyncio.run(run(f"dns://{dns.authority}/models.test:{one.port}"))
        assert min(len(one.pictures), len(two.pictures)) >= 5


def test_a_server_that_returns_after_long_is_reconnected_soon() -> None:
    port = free_port()

    async def run() -> None:
        serving = TFServing("yolov4", Settings(backend=f"127.0.0.1:{port}"), Metrics())
        for _ in range(8):  # its back-off would have grown to 12 s
            with pytest.raises(errors.NoBackend):
                await serving.predict(b"", 1)
            await asyncio.sleep(1)
        started = time.monotonic()
        with FakeBackend(port=port):
            await until_it_answers(serving)
        assert time.monotonic() - started < 5
        await serving.close()

    asyncio.run(run())
