"""Client timeouts, and what happens when a client disconnects."""

import socket
import time

import httpx
import pytest

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

PICTURE = picture()
JPEG = {"Content-Type": "image/jpeg"}


def detect(gateway: GatewayProcess, **headers: str) -> httpx.Response:
    return gateway.http.post("/detect", content=PICTURE, headers=JPEG | headers)


def test_the_clients_timeout_reaches_the_model_server_and_ends_the_request() -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        assert detect(gateway).status_code == 200
        assert detect(gateway, **{"X-Timeout-Ms": "2500"}).status_code == 200
        assert detect(gateway, **{"X-Timeout-Ms": "60000"}).status_code == 200
        default, shortened, longer = backend.budgets_s
        assert 5 < default < 10.1
        assert 1 < shortened < 2.6
        assert 5 < longer < 10.1  # never more than the service's own
        backend.delay_s = 3
        begun = time.monotonic()
        late = detect(gateway, **{"X-Timeout-Ms": "300"})
        assert late.status_code == 504
        assert time.monotonic() - begun < 2.5
        wait_for(lambda: backend.cancelled == 1)


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "", "1" * 10, "٣"])
def test_an_invalid_timeout_is_rejected(value: str) -> None:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        headers = httpx.Headers([*JPEG.items(), ("X-Timeout-Ms", value)], encoding="utf-8")
        refused = gateway.http.post("/detect", content=PICTURE, headers=headers)
        assert refused.status_code == 422
        assert "whole milliseconds" in refused.json()["detail"]
        assert backend.pictures == []


@pytest.mark.parametrize("size", [0, 70_000])  # of the larger, reading is paused for a while
@pytest.mark.parametrize("route", ["/detect", "/detect/batch"])
def test_a_disconnect_cancels_the_work(route: str, size: int) -> None:
    with (
        FakeBackend(delay_s=1.5) as backend,
        GatewayProcess(backend=backend.target, max_in_flight=1) as gateway,
    ):
        form = httpx.Request("POST", gateway.url, files=[("image", PICTURE.ljust(size))])
        body = form.read()
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as client:
            head = f"POST {route} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            head += f"Content-Type: {form.headers['content-type']}\r\n\r\n"
            client.sendall(head.encode())
            time.sleep(0.2)
            client.sendall(body)
            wait_for(lambda: len(backend.pictures) == 1)
            assert gateway.metric("detect_in_flight") == 1
        # Its slot is free at once, though the model server would still be at work.
        wait_for(lambda: gateway.metric("detect_in_flight") == 0, within_s=1)
        wait_for(lambda: backend.cancelled == 1)
        assert gateway.metric(f'detect_requests_total{{code="499",route="{route}"}}') == 1
        assert gateway.metric('detect_rejected_total{reason="client-disconnect"}') == 1
        assert gateway.metric("detect_images_total") == 0
        assert [line["status"] for line in gateway.log("request")] == [499]
        assert gateway.log("Exception in ASGI application") == []
