"""Several requests on one connection, offers of other protocols, and clients that leave."""

import asyncio
import gc
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import Response

from service.api import problems
from service.api.middleware import ObservabilityMiddleware
from service.core.lifecycle import Lifecycle
from service.core.metrics import Metrics
from service.server.connection import Connection, protocol_factory
from service.settings import Settings
from tests.support.callers.raw_http import (
    chunk,
    chunked,
    connect,
    exchange,
    get,
    one,
    post,
    push,
    to_the_end,
    whole,
)
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PICTURE = picture()
LAST = get("/nowhere", "Connection: close")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends a reset


def test_pipelined_requests_are_answered_in_order(gateway: GatewayProcess) -> None:
    sent = [whole(PICTURE), get("/livez"), chunked(PICTURE), whole(b"no picture"), LAST]
    answers = exchange(gateway, b"".join(sent))
    assert [answer.status for answer in answers] == [200, 200, 200, 400, 404]


@pytest.mark.parametrize("cut", range(1, 40))
def test_where_segments_end_makes_no_difference(gateway: GatewayProcess, cut: int) -> None:
    """The ends of heads and of chunked bodies are found wherever a segment is cut."""
    small = b"2\r\n\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n"  # chunks of empty lines
    sent = post("Transfer-Encoding: chunked", body=small) + LAST
    with connect(gateway) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(sent[: -len(LAST) - 20 + cut])
        time.sleep(0.01)
        client.sendall(sent[-len(LAST) - 20 + cut :])
        assert [answer.status for answer in to_the_end(client)] == [400, 404]


def test_a_bad_request_does_not_overtake_the_responses_before_it(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    backend.delay_s = 0.3
    answers = exchange(gateway, whole(PICTURE) + get("/livez") + b"no request\r\n\r\n" + LAST)
    assert [answer.status for answer in answers] == [200, 200, 400]


def test_pipelined_requests_are_read_one_by_one(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    before = gateway.peak_mb()
    backend.delay_s = 0.3
    with connect(gateway) as client:
        push(client, [whole(PICTURE) + get("/livez") * 5_000 + LAST])
        statuses = [answer.status for answer in to_the_end(client)]
    assert statuses == [200] + [200] * 5_000 + [404]
    assert gateway.peak_mb() - before < 8


def test_pipelined_pictures_take_one_place_at_the_backend(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    backend.delay_s = 0.2
    before = len(backend.pictures)
    with connect(gateway) as client:
        client.sendall(whole(PICTURE) * 3 + LAST)
        time.sleep(0.1)
        assert len(backend.pictures) == before + 1
        assert [answer.status for answer in to_the_end(client)] == [200, 200, 200, 404]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("kind", ["Content-Length", "Transfer-Encoding"])
@pytest.mark.parametrize(
    "upgrade",
    [
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAQAAABk"],
        ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
    ],
    ids=["h2c", "websocket"],
)
def test_an_upgrade_offer_is_ignored(
    gateway: GatewayProcess, apart: bool, kind: str, upgrade: list[str]
) -> None:
    """Java's client makes one with its first request. Body and next request are read as such."""
    body = PICTURE if kind == "Content-Length" else chunk(PICTURE) + b"0\r\n\r\n"
    value = str(len(PICTURE)) if kind == "Content-Length" else "chunked"
    head = post(f"{kind}: {value}", *upgrade)
    with connect(gateway) as client:
        client.sendall(head if apart else head + body + LAST)
        if apart:
            time.sleep(0.1)
            client.sendall(body + LAST)
        assert [answer.status for answer in to_the_end(client)] == [200, 404]
    answers = exchange(gateway, get("/livez", *upgrade) + LAST)
    assert [answer.status for answer in answers] == [200, 404]


@contextmanager
def serving(
    app: FastAPI, metrics: Metrics
) -> Iterator[tuple[tuple[str, int], weakref.WeakSet[Connection]]]:
    """A server in this process: its address, and the connections that are in memory."""
    alive: weakref.WeakSet[Connection] = weakref.WeakSet()

    class Counted(protocol_factory(Settings(), metrics, Lifecycle())):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            alive.add(self)
            super().connection_made(transport)

    server = uvicorn.Server(uvicorn.Config(app, port=0, http=Counted, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname(), alive
    finally:
        server.should_exit = True
        thread.join()


def test_a_500_says_that_it_is_the_last_response_of_its_connection() -> None:
    async def bug() -> Response:
        raise RuntimeError("bug")

    metrics = Metrics()
    app = FastAPI(middleware=[Middleware(ObservabilityMiddleware, metrics=metrics)])
    problems.install(app)
    app.get("/bug")(bug)
    with serving(app, metrics) as (address, _), socket.create_connection(address) as client:
        client.sendall(get("/bug") * 2)
        (answer,) = to_the_end(client)
    answer.problem(500, "internal-error")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "sent", [b"", b"GET", get("/nowhere"), whole(PICTURE), chunked(PICTURE), b"?\r\n\r\n"]
)
def test_a_closed_connection_is_freed_at_once(sent: bytes) -> None:
    """Cycles of references would keep thousands until the garbage collector comes by."""
    with serving(FastAPI(), Metrics()) as (address, connections):
        gc.disable()
        try:
            for _ in range(3):
                with socket.create_connection(address) as client:
                    client.sendall(sent)
                    client.shutdown(socket.SHUT_WR)
                    to_the_end(client)
            wait_for(lambda: not connections)
        finally:
            gc.enable()


# --- clients that leave --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [whole(PICTURE), whole(PICTURE, "Connection: close"), chunked(PICTURE)]
)
@pytest.mark.parametrize("delay_s", [0, 1.2])
def test_a_half_closed_connection_gets_its_response(
    gateway: GatewayProcess, backend: FakeBackend, sent: bytes, delay_s: float
) -> None:
    backend.delay_s = delay_s
    with connect(gateway) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        (answer,) = to_the_end(client)
    assert answer.status == 200
    assert b'"dog"' in answer.body


def test_pipelined_requests_before_a_half_close_are_all_answered(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    backend.delay_s = 0.2
    with connect(gateway) as client:
        client.sendall(whole(PICTURE) * 3 + get("/nowhere"))
        client.shutdown(socket.SHUT_WR)
        assert [answer.status for answer in to_the_end(client)] == [200, 200, 200, 404]


@pytest.mark.parametrize("ends", ["close", "reset"])
def test_the_work_for_a_client_that_left_is_cancelled(
    gateway: GatewayProcess, backend: FakeBackend, ends: str
) -> None:
    backend.delay_s = 1.5
    before = backend.cancelled, gateway.requests(499, "/detect")
    with connect(gateway) as client:
        client.sendall(whole(PICTURE))
        wait_for(lambda: gateway.metric("detect_in_flight") == 1)
        if ends == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    wait_for(lambda: gateway.metric("detect_in_flight") == 0, within_s=1)
    wait_for(lambda: backend.cancelled == before[0] + 1)
    wait_for(lambda: gateway.requests(499, "/detect") == before[1] + 1)


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"", []),
        (b"GET /li", []),
        (get("/livez"), [200]),
        (get("/livez") + b"GET /li", [200]),
        (post("Content-Length: 1000", body=b"some"), []),
        (post("Transfer-Encoding: chunked", body=b"5\r\nabc"), []),
        (get("/livez") + post("Content-Length: 1000", body=b"some"), [200]),
        (whole(PICTURE) * 3, [200, 200, 200]),
    ],
)
@pytest.mark.parametrize("half", [True, False])
def test_the_connection_of_a_client_that_ends_is_closed(
    gateway: GatewayProcess, sent: bytes, statuses: list[int], half: bool
) -> None:
    """A request that is not whole gets no response."""
    before = gateway.descriptors()
    with connect(gateway) as client:
        client.sendall(sent)
        if half:
            client.shutdown(socket.SHUT_WR)
            assert [answer.status for answer in to_the_end(client)] == statuses
            wait_for(lambda: gateway.descriptors() <= before, within_s=1)
    wait_for(lambda: gateway.descriptors() <= before, within_s=1)


def test_a_connection_is_used_again_after_each_kind_of_request(gateway: GatewayProcess) -> None:
    with connect(gateway) as client:
        for request, status in (
            (get("/livez"), 200),
            (chunked(PICTURE), 200),
            (whole(b"no picture"), 400),
            (whole(b"", path="/nowhere"), 404),
            (chunked(b"no picture"), 400),
            (whole(PICTURE), 200),
        ):
            client.sendall(request)
            answer = one(client)
            assert answer.status == status
            assert "connection" not in answer.headers
