"""The gateway's edge: connections that are slow, oversized, broken, or simply many."""

import os
import re
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fake_backend import FakeBackend
from tests.support.gateway_process import GatewayProcess, wait_for
from tests.support.pictures import picture
from tests.support.raw_http import (
    MUCH,
    answers,
    connect,
    exchange,
    get,
    much,
    one,
    post,
    push,
    to_the_end,
)

PICTURE = picture()
LIMIT = 2_000_000
HEAD_LIMIT = 32 * 1024


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
        max_upload_bytes=LIMIT,
    ) as process:
        yield process


@pytest.fixture(autouse=True)
def _nothing_stays(gateway: GatewayProcess) -> Iterator[None]:
    """After every test the gateway answers, and no connection of it is left."""
    gateway.http.get("/livez")
    before = descriptors(gateway)
    yield
    assert gateway.http.get("/livez").status_code == 200
    wait_for(lambda: descriptors(gateway) <= before, within_s=15)
    assert gateway.log("Exception in ASGI application\n") == []


def descriptors(gateway: GatewayProcess) -> int:
    return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))


def peak_mb(gateway: GatewayProcess) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{gateway.process.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def counted(gateway: GatewayProcess, status: int, route: str = "unmatched") -> float:
    return gateway.metric(f'detect_requests_total{{code="{status}",route="{route}"}}')


def whole(body: bytes = PICTURE, *fields: str) -> bytes:
    return post(f"Content-Length: {len(body)}", *fields, body=body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# --- slow ----------------------------------------------------------------------------------------


def test_a_head_of_one_byte_at_a_time_is_read_when_it_is_in_time(gateway: GatewayProcess) -> None:
    request = whole(PICTURE, "Connection: close")
    with connect(gateway) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(request)):
            client.sendall(request[at : at + 1])
        (answer,) = to_the_end(client)
    assert answer.status == 200
    assert b'"dog"' in answer.body


def test_a_slow_head_is_cut_off(gateway: GatewayProcess) -> None:
    before = counted(gateway, 408)
    with connect(gateway) as client:
        begun = time.monotonic()
        client.settimeout(0.2)
        slow = iter(get("/livez", *["X-Slow: " + "x" * 1000]))
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
    assert counted(gateway, 408) == before + 1


def test_who_says_nothing_is_told_nothing(gateway: GatewayProcess) -> None:
    before = counted(gateway, 408)
    with connect(gateway) as client:
        assert client.recv(100) == b""
    assert counted(gateway, 408) == before


@pytest.mark.parametrize("nothing", [b"\r\n", b"GET /l"])
def test_an_idle_connection_cannot_be_kept_by_trickling(
    gateway: GatewayProcess, nothing: bytes
) -> None:
    with connect(gateway) as client:
        client.sendall(get("/livez"))
        assert one(client).status == 200
        begun = time.monotonic()
        client.sendall(nothing)
        time.sleep(0.3)
        push(client, [nothing[:2] if nothing == b"\r\n" else b"i"])
        (answer,) = to_the_end(client)
    assert answer.status == 408
    assert time.monotonic() - begun < 2.9  # keep_alive_s is 3


def test_an_idle_connection_ends_without_a_word(gateway: GatewayProcess) -> None:
    with connect(gateway) as client:
        client.sendall(get("/livez"))
        assert one(client).status == 200
        begun = time.monotonic()
        assert client.recv(65536) == b""
    assert time.monotonic() - begun > 2.5


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_slow_body_is_cut_off(gateway: GatewayProcess, framing: str) -> None:
    route = "/detect"
    before = counted(gateway, 408, route), counted(gateway, 408)
    with connect(gateway) as client:
        begun = time.monotonic()
        client.sendall(post(framing, body=b"1\r\n" if "chunked" in framing else b"x"))
        (answer,) = to_the_end(client)
    assert "within 1.5 seconds" in answer.problem(408, "slow-upload")
    assert answer.headers["connection"] == "close"
    assert 1.4 < time.monotonic() - begun < 10
    assert (counted(gateway, 408, route), counted(gateway, 408)) == (before[0] + 1, before[1])


def test_a_client_that_never_reads_is_left(gateway: GatewayProcess) -> None:
    """As soon as the kernel takes no more; what else it asked for is not worked on."""
    before = descriptors(gateway)
    log = len(gateway.log("request"))
    requests = much()
    with connect(gateway, receive_buffer=4096) as client:
        push(client, [requests])
        wait_for(lambda: descriptors(gateway) <= before, within_s=30)
        assert 1 <= len(gateway.log("request")) - log < MUCH


def test_a_client_that_reads_slowly_is_not(gateway: GatewayProcess) -> None:
    """It takes longer than send_timeout_s, but something goes all the time."""
    requests = much()
    with connect(gateway) as client, ThreadPoolExecutor(1) as sender:
        # The gateway reads on only while its answers are read.
        sender.submit(client.sendall, requests)
        begun = time.monotonic()
        received = 0
        while received < 8_000_000:
            received += len(client.recv(200_000))
            time.sleep(0.05)
        assert time.monotonic() - begun > 2 * 1


# --- large ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        get("/livez", "X-Long: " + "x" * HEAD_LIMIT),
        get("/livez", *[f"X-{i}: {i}" for i in range(5_000)]),
        get("/livez?" + "x" * HEAD_LIMIT),
        get("/livez?" + "x" * 8_000_000),
        b"\r\n" * 1_000_000,
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X" * 8_000_000,
    ],
    ids=["value", "many", "url", "huge-url", "empty-lines", "name"],
)
def test_a_head_that_is_too_long(gateway: GatewayProcess, head: bytes) -> None:
    before = counted(gateway, 431), peak_mb(gateway)
    with connect(gateway) as client:
        push(client, [head])
        (answer,) = to_the_end(client)
    assert str(HEAD_LIMIT) in answer.problem(431, "request-header-fields-too-large")
    assert counted(gateway, 431) == before[0] + 1
    assert peak_mb(gateway) - before[1] < 4


def test_a_long_head_is_read_up_to_the_limit(gateway: GatewayProcess) -> None:
    head = get("/livez", "Connection: close", "X-Long: " + "x" * (HEAD_LIMIT - 200))
    (answer,) = exchange(gateway, head)
    assert answer.status == 200


@pytest.mark.parametrize("what", ["extension", "trailer"])
def test_what_is_around_chunks_is_bounded(gateway: GatewayProcess, what: str) -> None:
    before = peak_mb(gateway)
    start = b"3;" if what == "extension" else b"3\r\nabc\r\n0\r\nX: "
    with connect(gateway) as client:
        client.sendall(post("Transfer-Encoding: chunked", body=start))
        push(client, (b"x" * 65536 for _ in range(200)))
        (answer,) = to_the_end(client)
    assert "around its content" in answer.problem(400, "malformed-body")
    assert peak_mb(gateway) - before < 4


def test_a_trailer_is_no_header(gateway: GatewayProcess) -> None:
    body = chunk(PICTURE) + b"0\r\nX-Request-ID: late\r\nContent-Type: text/plain\r\n\r\n"
    sent = post("Transfer-Encoding: chunked", "Connection: close", body=body)
    (answer,) = exchange(gateway, sent)
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "late"


def test_ten_gigabytes_announced_are_not_read(gateway: GatewayProcess) -> None:
    before = peak_mb(gateway)
    with connect(gateway) as client:
        client.settimeout(5)
        client.sendall(post("Content-Length: 10000000000"))
        sent = push(client, (b"x" * 65536 for _ in range(3_000)))
        (answer,) = to_the_end(client)
    assert "10000000000 bytes" in answer.problem(413, "too-large")
    assert answer.headers["connection"] == "close"
    assert sent < 100_000_000  # what the two kernels hold, and no more
    assert peak_mb(gateway) - before < 4


def test_a_chunked_body_without_end_is_cut_off_at_the_limit(gateway: GatewayProcess) -> None:
    before = peak_mb(gateway)
    with connect(gateway) as client:
        client.settimeout(5)
        client.sendall(post("Transfer-Encoding: chunked"))
        sent = push(client, (chunk(b"x" * 65536) for _ in range(3_000)))
        (answer,) = to_the_end(client)
    assert f"The limit is {LIMIT} bytes" in answer.problem(413, "too-large")
    assert answer.headers["connection"] == "close"
    assert sent < 100_000_000
    assert peak_mb(gateway) - before < 8


def test_a_body_that_nobody_wants_is_not_read(gateway: GatewayProcess) -> None:
    """404 is answered at once; whatever was to follow would be read to be thrown away."""
    with connect(gateway) as client:
        client.settimeout(5)
        client.sendall(post("Content-Length: 10000000000", path="/nowhere"))
        sent = push(client, (b"x" * 65536 for _ in range(3_000)))
        (answer,) = to_the_end(client)
    assert answer.status == 404
    assert answer.headers["connection"] == "close"
    assert sent < 100_000_000


def test_a_refusal_comes_before_the_body_is_sent(gateway: GatewayProcess) -> None:
    expect = "Expect: 100-continue"
    (answer,) = exchange(gateway, post("Content-Length: 10000000000", expect))
    assert answer.status == 413
    (answer,) = exchange(gateway, post("Content-Length: 5", expect, path="/nowhere"))
    assert answer.status == 404
    with connect(gateway) as client:
        client.sendall(post(f"Content-Length: {len(PICTURE)}", expect, "Connection: close"))
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(PICTURE)
        (answer,) = to_the_end(client)
    assert answer.status == 200


# --- ambiguous -----------------------------------------------------------------------------------

HIDDEN = get("/nowhere")  # in a body; answered with 404, should anybody take it for a request


@pytest.mark.parametrize(
    "request_",
    [
        post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
        post("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN),
        post("Content-Length: 0", f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
        post("Content-Length: 0", "Content-Length: 0", body=HIDDEN),
        post("Content-Length: 0, 5", body=HIDDEN),
        post("Content-Length: +5", body=HIDDEN),
        post("Content-Length: -1", body=HIDDEN),
        post("Content-Length: 0x10", body=HIDDEN),
        post("Content-Length: 99999999999999999999999", body=HIDDEN),
        post("Content-Length:", body=HIDDEN),
        post("Content-Length : 5", body=HIDDEN),
        post("Transfer-Encoding: xchunked", body=HIDDEN),
        post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + HIDDEN),
        post("Transfer-Encoding: chunked, identity", body=HIDDEN),
        post("Transfer-Encoding: \x0bchunked", body=HIDDEN),
        post("Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN).replace(b"1.1", b"1.0", 1),
        get("/livez", "X-Folded: a", "  b"),
        get("/livez", "X-Nul: a\0b"),
        get("/livez", "X-CR: a\rb"),
        get("/livez", "X-LF: a\nX-B: b"),
        get("/livez", "X Space: a"),
        get("/livez", "Host: y"),
        get("/livez").replace(b"Host: x\r\n", b""),
        get("/livez").replace(b"\r\n", b"\n"),
        get("/livez").replace(b"1.1", b"2.0"),
        get("/li\0vez"),
        b"GET /livez\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_head_that_can_be_read_in_two_ways(gateway: GatewayProcess, request_: bytes) -> None:
    before = counted(gateway, 400)
    log = len(gateway.log())
    (answer,) = exchange(gateway, request_)
    answer.problem(400, "bad-request")
    assert answer.headers["connection"] == "close"
    assert counted(gateway, 400) == before + 1
    assert len(gateway.log()) == log


@pytest.mark.parametrize(
    "chunks",
    [
        *(b"x\r\nabc\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n", b"fffffffffffffffff\r\nabc\r\n"),
        *(b"\r\nabc\r\n", b"3 \r\nabc\r\n", b"3\nabc\r\n", b"3\r\nabcX\r\n", b"3\r\nabc0\r\n\r\n"),
        b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_chunks_that_are_none(gateway: GatewayProcess, chunks: bytes) -> None:
    before = counted(gateway, 400, "/detect")
    (answer,) = exchange(gateway, post("Transfer-Encoding: chunked", body=chunks + HIDDEN))
    assert "The body is not valid" in answer.problem(400, "malformed-body")
    assert answer.headers["connection"] == "close"
    assert counted(gateway, 400, "/detect") == before + 1


@pytest.mark.parametrize("apart", [False, True])
def test_an_offer_of_another_protocol_hides_no_request(
    gateway: GatewayProcess, apart: bool
) -> None:
    """As Java's client makes it with every first request; the body is read as a body."""
    upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAQAAABk"]
    for framing, body in (
        (f"Content-Length: {len(PICTURE)}", PICTURE),
        ("Transfer-Encoding: chunked", chunk(PICTURE) + b"0\r\n\r\n"),
    ):
        with connect(gateway) as client:
            client.sendall(post(framing, *upgrade, body=b"" if apart else body + HIDDEN))
            if apart:
                time.sleep(0.1)
                client.sendall(body + HIDDEN)
            assert [one(client).status for _ in range(2)] == [200, 404]
    (answer,) = exchange(gateway, get("/livez", *upgrade, "Connection: close"))
    assert answer.status == 200


# --- several requests on one connection ----------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(gateway: GatewayProcess) -> None:
    sent = [whole(), get("/livez"), whole(b"no picture"), get("/nowhere", "Connection: close")]
    assert [a.status for a in exchange(gateway, b"".join(sent))] == [200, 200, 400, 404]


def test_a_bad_request_does_not_overtake_the_answers_before_it(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    backend.delay_s = 0.3
    found = exchange(gateway, whole() + get("/livez") + b"no request\r\n\r\n" + HIDDEN)
    backend.delay_s = 0
    assert [a.status for a in found] == [200, 200, 400]


def test_more_requests_than_one_waits_for(gateway: GatewayProcess, backend: FakeBackend) -> None:
    before = peak_mb(gateway)
    backend.delay_s = 0.3
    with connect(gateway) as client:
        push(client, [whole() + get("/livez") * 20_000])
        found = to_the_end(client)
    backend.delay_s = 0
    assert [a.status for a in found] == [200] + [200] * 64 + [429]
    assert found[-1].headers["retry-after"] == "1"
    assert peak_mb(gateway) - before < 8


def test_time_spent_behind_another_request_does_not_count(
    gateway: GatewayProcess, backend: FakeBackend
) -> None:
    """The rest of the second is sent after head_timeout_s, when the first has been answered."""
    backend.delay_s = 1.5
    second = get("/livez", "Connection: close")
    with connect(gateway) as client:
        client.sendall(whole() + second[:10])
        time.sleep(1.7)
        client.sendall(second[10:])
        found = to_the_end(client)
    backend.delay_s = 0
    assert [a.status for a in found] == [200, 200]


# --- clients that go -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /li", get("/livez"), post("Content-Length: 1000", body=b"some"), whole() * 3],
)
@pytest.mark.parametrize("half", [True, False])
def test_a_client_that_ends_is_let_go(gateway: GatewayProcess, sent: bytes, half: bool) -> None:
    """Also where it only says that it sends no more, which looks the same from here."""
    before = descriptors(gateway)
    with connect(gateway) as client:
        client.sendall(sent)
        if half:
            client.shutdown(socket.SHUT_WR)
            wait_for(lambda: descriptors(gateway) <= before)
            assert all(a.status == 200 for a in to_the_end(client))
    wait_for(lambda: descriptors(gateway) <= before)


# --- many ----------------------------------------------------------------------------------------


def test_a_thousand_idle_connections_cost_little(backend: FakeBackend) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3_000:
        pytest.skip(f"needs 3000 descriptors, may have {hard}")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # the gateway starts with this
        with GatewayProcess(backend=backend.target) as gateway, ExitStack() as stack:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3_000), hard))
            assert gateway.http.post("/detect", files={"image": PICTURE}).status_code == 200
            before, memory = descriptors(gateway), peak_mb(gateway)
            clients = [stack.enter_context(connect(gateway)) for _ in range(1_000)]
            for client in clients[::2]:  # half have asked before, half have said nothing
                client.sendall(get("/livez"))
                assert one(client).status == 200
            wait_for(lambda: descriptors(gateway) >= before + 1_000)
            begun = time.monotonic()
            assert gateway.http.post("/detect", files={"image": PICTURE}).status_code == 200
            assert time.monotonic() - begun < 2
            assert peak_mb(gateway) - memory < 40
            stack.close()
            wait_for(lambda: descriptors(gateway) <= before, within_s=15)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_beyond_the_limit_only_probes_are_answered(backend: FakeBackend) -> None:
    with (
        GatewayProcess(backend=backend.target, max_connections=3) as gateway,
        ExitStack() as stack,
    ):
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        gateway.http.close()
        clients = [stack.enter_context(connect(gateway)) for _ in range(3)]
        for client in clients:
            client.sendall(get("/livez"))
            assert one(client).status == 200
        for path in ("/livez", "/readyz?verbose", "/metrics"):
            (answer,) = exchange(gateway, get(path))
            assert answer.status == 200
            assert answer.headers["connection"] == "close"
        (answer,) = exchange(gateway, whole())
        assert "more than 3 connections" in answer.problem(503, "service-unavailable")
        assert answer.headers["retry-after"] == "1"
        clients[0].sendall(whole())  # who was there before is served as always
        assert one(clients[0]).status == 200
        more = [stack.enter_context(connect(gateway)) for _ in range(65)]
        (answer,) = to_the_end(more[0])  # even probes have their limit
        answer.problem(503, "service-unavailable")
        stack.close()

        def served() -> bool:
            return exchange(gateway, whole(PICTURE, "Connection: close"))[0].status == 200

        wait_for(served)
