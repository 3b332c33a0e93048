"""The memory budget of all uploads: limited, and released however a request ends."""

import http.client
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.api.requests.memory_budget import MemoryBudget, Reservation
from service.core.errors import Full
from service.settings import Settings
from tests.support.callers.raw_http import MUCH, connect, much
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for


def test_a_reservation_is_released() -> None:
    budget = MemoryBudget(100)
    with Reservation(budget) as first, Reservation(budget) as second:
        first.reserve(60)
        second.reserve(40)
        with pytest.raises(Full, match="hold 100 of 100 bytes"):
            first.reserve(1)
        assert budget.held == 100
        first.resize(10)
        assert budget.held == 50
        second.resize(90)
        assert budget.held == 100
        with pytest.raises(Full):
            second.resize(91)
    assert budget.held == 0
    with Reservation(budget) as reservation:
        reservation.reserve(99)
        with pytest.raises(Full):
            reservation.reserve(2)
    assert budget.held == 0


@pytest.mark.parametrize("route", ["/detect", "/detect/batch"])
def test_uploads_beyond_the_budget_are_refused_and_smaller_ones_answered(route: str) -> None:
    form = [("image", picture())]
    with (
        FakeBackend() as backend,
        GatewayProcess(
            backend=backend.target, max_upload_bytes=100_000, max_held_bytes=3 * 120_000
        ) as gateway,
    ):
        port = int(gateway.url.rpartition(":")[2])
        head = "POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + b"x" * 99_999)
            wait_for(lambda: gateway.http.post(route, files=large).status_code == 503)
            before = gateway.metric('detect_rejected_total{reason="full"}')
            refused = gateway.http.post(route, files=large)
            assert gateway.metric('detect_rejected_total{reason="full"}') == before + 1
            assert refused.json()["type"] == "urn:problem:full"
            assert refused.headers["retry-after"] == "1"
            assert gateway.http.post(route, files=form).status_code == 200  # it still fits
        wait_for(lambda: gateway.http.post(route, files=large).status_code != 503)


large = [("image", picture(64, 48) + bytes(40_000))]

MIB = 1024 * 1024
UPLOADS, UPLOAD = 200, picture(640, 480) + bytes(15_000_000)


class Forgetful(list[bytes]):
    """The test's own memory is not measured, but the machine has to have it."""

    def append(self, _: bytes) -> None:
        pass


def upload(gateway: GatewayProcess, path: str) -> int:
    """The status; 0 where the gateway stopped reading, and this client went on sending."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
    if path == "/detect":
        headers, body = {"Content-Type": "image/jpeg"}, UPLOAD
    else:
        request = httpx.Request("POST", gateway.url, files=[("image", UPLOAD)])
        headers, body = dict(request.headers), request.read()
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        connection.close()


def memory_mib(gateway: GatewayProcess) -> float:
    """The peak so far."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/detect", "/detect/batch"])
def test_a_flood_of_large_uploads_stays_within_the_budget(path: str) -> None:
    """At default settings. Besides the budget, a connection has what the event loop and the
    protocol buffer of it before it is counted, at most half a MiB."""
    limit = Settings().max_held_bytes / MIB
    with (
        FakeBackend(pictures=Forgetful(), delay_s=0.5) as backend,
        GatewayProcess(backend=backend.target) as gateway,
    ):
        before = memory_mib(gateway)
        with ThreadPoolExecutor(UPLOADS) as callers:
            statuses = Counter(callers.map(lambda _: upload(gateway, path), range(UPLOADS)))
        assert set(statuses) <= {200, 503, 0}
        assert statuses[200] >= limit * MIB / (3 * len(UPLOAD)) - 2
        assert memory_mib(gateway) - before < limit + 0.5 * UPLOADS
        wait_for(lambda: gateway.metric("detect_held_bytes") == 0)
        assert upload(gateway, path) == 200


def test_a_drawn_picture_is_held_until_it_is_read() -> None:
    """A client that reads nothing keeps its memory reserved; when it disconnects, it is free."""
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        clients = [connect(gateway, receive_buffer=4096) for _ in range(3)]
        request = much()[: len(much()) // MUCH]
        for client in clients:
            client.sendall(request)
        wait_for(lambda: gateway.metric("detect_images_total") == 3, within_s=20)
        held = gateway.metric("detect_held_bytes")
        assert held > 3 * 1_000_000
        for client in clients:
            client.close()
        wait_for(lambda: gateway.metric("detect_held_bytes") == 0)
