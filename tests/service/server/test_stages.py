"""How long a client may take: for the head, for the body, and between requests."""

import socket
import time

import pytest

from tests.support.callers.raw_http import (
    answers,
    connect,
    get,
    one,
    post,
    push,
    to_the_end,
    whole,
)
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PICTURE = picture()


def test_a_head_sent_byte_by_byte_in_time_is_served(gateway: GatewayProcess) -> None:
    request = whole(PICTURE, "Connection: close")
    with connect(gateway) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(request)):
            client.sendall(request[at : at + 1])
        (answer,) = to_the_end(client)
    assert answer.status == 200
    assert b'"dog"' in answer.body


def test_a_slow_head_times_out_with_408(gateway: GatewayProcess) -> None:
    before = gateway.requests(408)
    with connect(gateway) as client:
        begun = time.monotonic()
        client.settimeout(0.2)
        slow = iter(get("/livez", *["X-Slow: " + "x" * 1000]))
        received = b""
        while time.monotonic() - begun < 15:
            client.sendall(bytes([next(slow)]))
            try:
                received = client.recv(65536)
                break
            except TimeoutError:
                continue
        took = time.monotonic() - begun
        (answer,) = answers(received)
    assert "within 1 seconds" in answer.problem(408, "request-timeout")
    assert answer.headers["connection"] == "close"
    assert 0.9 < took < 8
    assert gateway.requests(408) == before + 1


def test_a_silent_connection_is_closed_without_a_response(gateway: GatewayProcess) -> None:
    before = gateway.requests(408)
    with connect(gateway) as client:
        assert client.recv(100) == b""
    assert gateway.requests(408) == before


@pytest.mark.parametrize(
    ("first", "more"), [(b"\r\n", b"\r\n"), (b"GET /l", b"i")], ids=["empty-lines", "head"]
)
def test_trickling_bytes_do_not_extend_an_idle_connection(
    gateway: GatewayProcess, first: bytes, more: bytes
) -> None:
    with connect(gateway) as client:
        client.sendall(get("/livez"))
        assert one(client).status == 200
        begun = time.monotonic()
        client.sendall(first)
        time.sleep(0.3)
        push(client, [more])
        (answer,) = to_the_end(client)
    assert answer.status == 408
    assert time.monotonic() - begun < 2.9  # keep_alive_s is 3


def test_an_idle_connection_is_closed_without_a_response(gateway: GatewayProcess) -> None:
    with connect(gateway) as client:
        client.sendall(get("/livez"))
        assert one(client).status == 200
        begun = time.monotonic()
        assert client.recv(65536) == b""
    assert time.monotonic() - begun > 2.5


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_slow_body_times_out_with_408(gateway: GatewayProcess, framing: str) -> None:
    route = "/detect"
    before = gateway.requests(408, route), gateway.requests(408)
    with connect(gateway) as client:
        begun = time.monotonic()
        client.sendall(post(framing, body=b"1\r\n" if "chunked" in framing else b"x"))
        (answer,) = to_the_end(client)
    assert "within 1.5 seconds" in answer.problem(408, "slow-upload")
    assert answer.headers["connection"] == "close"
    assert 1.4 < time.monotonic() - begun < 10
    assert (gateway.requests(408, route), gateway.requests(408)) == (before[0] + 1, before[1])


def test_a_trickling_body_does_not_extend_its_timeout(gateway: GatewayProcess) -> None:
    with connect(gateway) as client:
        client.settimeout(0.2)
        client.sendall(post("Content-Length: 1000"))
        begun = time.monotonic()
        received = b""
        while not received and time.monotonic() - begun < 15:
            push(client, [b"x"])
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
        client.settimeout(20)
        while more := client.recv(65536):  # the head may come without the body
            received += more
        (answer,) = answers(received)
    answer.problem(408, "slow-upload")
    assert time.monotonic() - begun > 1.4


def test_a_pipelined_head_has_its_time_from_the_response_before_it(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    """The rest of the second is sent after head_timeout_s, when the first has been answered."""
    backend.delay_s = 1.5
    second = get("/livez", "Connection: close")
    with connect(gateway) as client:
        client.sendall(whole(PICTURE) + second[:10])
        time.sleep(1.7)
        client.sendall(second[10:])
        statuses = [answer.status for answer in to_the_end(client)]
    assert statuses == [200, 200]
