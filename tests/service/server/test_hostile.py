"""Requests built to be read differently by two parsers: each is answered the same way however its
bytes are segmented, and the request after it is either answered as such or never read."""

import socket

import pytest

from tests.support.callers.raw_http import chunk, connect, get, post, to_the_end, whole
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PICTURE = picture()
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = chunk(PICTURE) + b"0\r\n\r\n"
SIZE = b"%x" % len(PICTURE)
LAST = get("/nowhere", "Connection: close")
UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")

CASES: dict[str, tuple[bytes, list[int]]] = {
    "coding-after-tab": (post("Transfer-Encoding:\tCHUNKED", body=CHUNKS), [200, 404]),
    "coding-comma": (post("Transfer-Encoding: chunked,", body=CHUNKS), [400]),
    "coding-quoted": (post('Transfer-Encoding: "chunked"', body=CHUNKS), [400]),
    "coding-parameter": (post("Transfer-Encoding: chunked;q=1", body=CHUNKS), [400]),
    "coding-folded": (post("Transfer-Encoding:\r\n chunked", body=CHUNKS), [400]),
    "length-exponent": (post("Content-Length: 3e0", body=b"abc"), [400]),
    "length-list": (post("Content-Length: 3,3", body=b"abc"), [400]),
    "length-2^63": (post("Content-Length: 9223372036854775808"), [413]),
    "extension": (
        post(CHUNKED, body=SIZE + b";a=b\r\n" + PICTURE + b"\r\n0;z\r\n\r\n"),
        [200, 404],
    ),
    "extension-quotes-crlf": (post(CHUNKED, body=b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n'), [400]),
    "extension-bare-lf": (post(CHUNKED, body=b"3;a\nabc\r\n0\r\n\r\n"), [400]),
    "size-zeros": (
        post(CHUNKED, body=SIZE.zfill(16) + b"\r\n" + PICTURE + b"\r\n00\r\n\r\n"),
        [200, 404],
    ),
    "empty-lines": (post(CHUNKED, body=chunk(b"\r\n\r\n" * 20) + b"0\r\n\r\n"), [400, 404]),
    "trailers": (post(CHUNKED, body=chunk(PICTURE) + b"0\r\nA: b\r\nC: d\r\n\r\n"), [200, 404]),
    "trailer-coding": (
        post(CHUNKED, body=chunk(PICTURE) + b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        [400],
    ),
    "trailer-folded": (post(CHUNKED, body=chunk(PICTURE) + b"0\r\nA: b\r\n c\r\n\r\n"), [400]),
    "end-bare-lf": (post(CHUNKED, body=chunk(PICTURE) + b"0\n\n"), [400]),
    "end-missing": (post(CHUNKED, body=chunk(PICTURE) + b"0\r\n"), [400]),
    "chunk-is-a-request": (post(CHUNKED, body=chunk(LAST) + b"0\r\n\r\n"), [400, 404]),
    "body-is-a-request": (whole(LAST), [400, 404]),
    "head-ends-in-bare-lf": (b"GET /livez HTTP/1.1\r\nHost: x\r\n\n", [400]),
    "first-header-folded": (b"GET /livez HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n", [400]),
    "absolute-url": (b"GET http://evil/livez HTTP/1.1\r\nHost: x\r\n\r\n", [200, 404]),
    "connect-with-body": (
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        [400],
    ),
    "empty-lines-between": (b"\r\n\r\n" + get("/livez") + b"\r\n\r\n", [200, 404]),
    "error-in-the-middle": (whole(b"no picture") + get("/livez", "X Y: z"), [400, 400]),
    "close-in-the-middle": (get("/livez", "Connection: keep-alive, close"), [200]),
    "upgrade-two-codings": (post(CHUNKED, CHUNKED, *UPGRADE, body=CHUNKS), [400]),
    "upgrade-length-and-coding": (post(CHUNKED, "Content-Length: 3", *UPGRADE), [400]),
    "upgrade-to-http2": (get("/livez", *UPGRADE) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [200, 400]),
    "proxy-protocol": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + get("/livez"), [400]),
}


@pytest.mark.parametrize("size", [1_000_000, 7], ids=["whole", "pieces"])
@pytest.mark.parametrize(("sent", "statuses"), CASES.values(), ids=CASES)
def test_hostile_requests(
    gateway: GatewayProcess, sent: bytes, statuses: list[int], size: int
) -> None:
    stream = sent + LAST
    with connect(gateway) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(stream), size):
            client.sendall(stream[at : at + size])
        assert [answer.status for answer in to_the_end(client)] == statuses


def test_a_body_of_empty_lines_costs_as_little_as_another(gateway: GatewayProcess) -> None:
    """It is parsed in pieces up to a limit; a request after it may then be lost, never misread."""
    cpu_s = []
    for data in (b"x" * 1_800_000, b"\r\n" * 900_000):
        before = gateway.metric("process_cpu_seconds_total")
        with connect(gateway) as client:
            client.sendall(post(CHUNKED, body=chunk(data) + b"0\r\n\r\n") + LAST)
            statuses = [answer.status for answer in to_the_end(client)]
        assert statuses in ([400], [400, 404])
        cpu_s.append(gateway.metric("process_cpu_seconds_total") - before)
    assert cpu_s[1] < cpu_s[0] + 0.3  # it was 2 s


def test_many_small_chunks_cost_in_proportion_to_their_number(gateway: GatewayProcess) -> None:
    """Copying the body for each of them had quadratic cost, on the event loop."""
    cpu_s = []
    for number in (50_000, 400_000):
        before = gateway.metric("process_cpu_seconds_total")
        with connect(gateway) as client:
            client.sendall(post(CHUNKED, body=chunk(b"x") * number + b"0\r\n\r\n") + LAST)
            assert 400 in [answer.status for answer in to_the_end(client)]
        cpu_s.append(gateway.metric("process_cpu_seconds_total") - before)
    assert cpu_s[1] < 16 * cpu_s[0] + 0.1
