"""Bodies of all requests together: bounded, and given back whatever becomes of a request."""

import socket

import pytest

from service.api.memory_budget import Buffer
from service.errors import Full
from tests.support.fake_backend import FakeBackend
from tests.support.gateway_process import GatewayProcess, wait_for
from tests.support.pictures import picture


def test_what_a_request_took_comes_back() -> None:
    buffer = Buffer(100)
    with buffer.share() as one, buffer.share() as other:
        one.take(60)
        other.take(40)
        with pytest.raises(Full, match="100 bytes of bodies are held and at most 100 may be"):
            one.take(1)
        assert buffer.held == 100
    assert buffer.held == 0
    with buffer.share() as share:
        share.take(99)
        with pytest.raises(Full):
            share.take(2)
    assert buffer.held == 0


@pytest.mark.parametrize("route", ["/detect", "/detect/batch"])
def test_bodies_that_do_not_fit_are_refused_and_those_that_do_are_answered(route: str) -> None:
    form = [("image", picture())]
    with (
        FakeBackend() as backend,
        GatewayProcess(
            backend=backend.target, max_upload_bytes=100_000, max_held_bytes=120_000
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
