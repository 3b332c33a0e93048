"""The last response reaches a client that still sends, and no client holds its connection open."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.service.server.conftest import UPLOAD_LIMIT
from tests.support.callers.raw_http import (
    MUCH,
    chunk,
    connect,
    exchange,
    much,
    post,
    push,
    to_the_end,
)
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PICTURE = picture()


def test_a_client_that_never_reads_is_disconnected(gateway: GatewayProcess) -> None:
    """As soon as the kernel takes no more; the rest of its requests are not worked on."""
    before = gateway.descriptors()
    log = len(gateway.log("request"))
    requests = much()  # first, because it may take longer than head_timeout_s
    with connect(gateway, receive_buffer=4096) as client:
        push(client, [requests])
        wait_for(lambda: gateway.descriptors() <= before, within_s=30)
        wait_for(lambda: len(gateway.log("request")) > log)
        assert len(gateway.log("request")) - log < MUCH


def test_a_client_that_reads_slowly_is_served(gateway: GatewayProcess) -> None:
    """It takes longer than send_timeout_s, but makes progress all the time."""
    requests = much()
    with connect(gateway) as client, ThreadPoolExecutor(1) as sender:
        # The gateway reads on only while its responses are read.
        sender.submit(client.sendall, requests)
        begun = time.monotonic()
        received = 0
        while received < 8_000_000:
            received += len(client.recv(200_000))
            time.sleep(0.05)
        assert time.monotonic() - begun > 2 * 1


def test_ten_announced_gigabytes_are_not_read(gateway: GatewayProcess) -> None:
    before = gateway.peak_mb()
    with connect(gateway) as client:
        client.settimeout(5)
        client.sendall(post("Content-Length: 10000000000"))
        sent = push(client, (b"x" * 65536 for _ in range(3_000)))
        (answer,) = to_the_end(client)
    assert "10000000000 bytes" in answer.problem(413, "too-large")
    assert answer.headers["connection"] == "close"
    assert sent < 100_000_000  # what the two kernels hold, and no more
    assert gateway.peak_mb() - before < 4


def test_an_endless_chunked_body_is_rejected_at_the_limit(gateway: GatewayProcess) -> None:
    before = gateway.peak_mb()
    with connect(gateway) as client:
        client.settimeout(5)
        client.sendall(post("Transfer-Encoding: chunked"))
        sent = push(client, (chunk(b"x" * 65536) for _ in range(3_000)))
        (answer,) = to_the_end(client)
    assert f"{UPLOAD_LIMIT} bytes" in answer.problem(413, "too-large")
    assert answer.headers["connection"] == "close"
    assert sent < 100_000_000
    assert gateway.peak_mb() - before < 8


def test_the_body_of_a_404_is_not_read(gateway: GatewayProcess) -> None:
    with connect(gateway) as client:
        client.settimeout(5)
        client.sendall(post("Content-Length: 10000000000", path="/nowhere"))
        sent = push(client, (b"x" * 65536 for _ in range(3_000)))
        (answer,) = to_the_end(client)
    assert answer.status == 404
    assert answer.headers["connection"] == "close"
    assert sent < 100_000_000


def test_expect_continue_is_answered_before_the_body_is_sent(gateway: GatewayProcess) -> None:
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
