"""Uploads of all requests together: bounded, and released whatever becomes of a request."""

import socket

import pytest

from service.api.memory_budget import MemoryBudget
from service.errors import Full
from tests.support.fake_backend import FakeBackend
from tests.support.gateway_process import GatewayProcess, wait_for
from tests.support.pictures import picture


def test_a_reservation_is_released() -> None:
    budget = MemoryBudget(100)
    with budget.reservation() as first, budget.reservation() as second:
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
    with budget.reservation() as reservation:
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
