"""Heads and bodies that are too large, ambiguous or broken, sent over a real socket."""

import pytest

from tests.support.callers.raw_http import (
    chunk,
    connect,
    exchange,
    get,
    post,
    push,
    to_the_end,
)
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PICTURE = picture()
HEAD_LIMIT = 32 * 1024
HIDDEN = get("/nowhere")  # within a body; a 404 shows that it was taken for a request


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
def test_a_head_beyond_the_limit_is_rejected(gateway: GatewayProcess, head: bytes) -> None:
    before = gateway.requests(431), gateway.peak_mb()
    with connect(gateway) as client:
        push(client, [head])
        (answer,) = to_the_end(client)
    assert str(HEAD_LIMIT) in answer.problem(431, "request-header-fields-too-large")
    assert gateway.requests(431) == before[0] + 1
    assert gateway.peak_mb() - before[1] < 4


@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 431)])
def test_the_head_limit_is_exact(gateway: GatewayProcess, excess: int, status: int) -> None:
    padding = HEAD_LIMIT + excess - len(get("/livez", "Connection: close", "X-Long: "))
    head = get("/livez", "Connection: close", "X-Long: " + "x" * padding)
    assert len(head) == HEAD_LIMIT + excess
    (answer,) = exchange(gateway, head)
    assert answer.status == status


@pytest.mark.parametrize("what", ["extension", "trailer"])
def test_bytes_around_chunks_are_bounded(gateway: GatewayProcess, what: str) -> None:
    before = gateway.peak_mb()
    start = b"3;" if what == "extension" else b"3\r\nabc\r\n0\r\nX: "
    with connect(gateway) as client:
        client.sendall(post("Transfer-Encoding: chunked", body=start))
        push(client, (b"x" * 65536 for _ in range(200)))
        (answer,) = to_the_end(client)
    assert "around its content" in answer.problem(400, "malformed-body")
    assert gateway.peak_mb() - before < 4


def test_a_trailer_is_not_taken_for_a_header(gateway: GatewayProcess) -> None:
    body = chunk(PICTURE) + b"0\r\nX-Request-ID: late\r\nContent-Type: text/plain\r\n\r\n"
    sent = post("Transfer-Encoding: chunked", "Connection: close", body=body)
    (answer,) = exchange(gateway, sent)
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "late"


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
        post("Content-Length: " + "0" * 5_000 + "5", body=HIDDEN),
        post("Content-Length:", body=HIDDEN),
        post("Content-Length : 5", body=HIDDEN),
        post("Transfer-Encoding: xchunked", body=HIDDEN),
        post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + HIDDEN),
        post("Transfer-Encoding: chunked, identity", body=HIDDEN),
        post("Transfer-Encoding: \x0bchunked", body=HIDDEN),
        post("Transfer-Encoding: X", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
        post("Transfer-Encoding:", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
        post(*["Transfer-Encoding: chunked"] * 2, body=b"0\r\n\r\n" + HIDDEN),
        post("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n" + HIDDEN),
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
def test_an_ambiguous_head_is_rejected(gateway: GatewayProcess, request_: bytes) -> None:
    before = gateway.requests(400)
    log = len(gateway.log())
    (answer,) = exchange(gateway, request_)
    answer.problem(400, "bad-request")
    assert answer.headers["connection"] == "close"
    assert gateway.requests(400) == before + 1
    assert len(gateway.log()) == log


@pytest.mark.parametrize(
    "chunks",
    [
        *(b"x\r\nabc\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n", b"fffffffffffffffff\r\nabc\r\n"),
        *(b"\r\nabc\r\n", b"3 \r\nabc\r\n", b"3\nabc\r\n", b"3\r\nabcX\r\n", b"3\r\nabc0\r\n\r\n"),
        b"3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_broken_chunks_are_rejected(gateway: GatewayProcess, chunks: bytes) -> None:
    before = gateway.requests(400, "/detect")
    (answer,) = exchange(gateway, post("Transfer-Encoding: chunked", body=chunks + HIDDEN))
    assert "The body is not valid" in answer.problem(400, "malformed-body")
    assert answer.headers["connection"] == "close"
    assert gateway.requests(400, "/detect") == before + 1
