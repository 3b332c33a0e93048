"""Many connections at once: idle ones are cheap, and silent ones keep no probe out."""

import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.callers.raw_http import connect, exchange, get, one, post, to_the_end, whole
from tests.support.callers.silent_flood import SilentFlood
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for

PICTURE = picture()
CLOSE = "Connection: close"
FLOOD, PROBES = 2_070, 500


@contextmanager
def descriptors_for_clients(count: int) -> Iterator[int]:
    """Raises this process's own limit; yields the soft limit of before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"needs {count} descriptors, may have {hard}")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
        yield soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_connections_cost_little(backend: FakeBackend) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # the gateway starts with this
        with GatewayProcess(backend=backend.target) as gateway, ExitStack() as stack:
            stack.enter_context(descriptors_for_clients(3_000))
            assert gateway.http.post("/detect", files={"image": PICTURE}).status_code == 200
            before, memory = gateway.descriptors(), gateway.peak_mb()
            clients = [stack.enter_context(connect(gateway)) for _ in range(1_000)]
            for client in clients[::2]:  # half have asked before, half have sent nothing
                client.sendall(get("/livez"))
                assert one(client).status == 200
            wait_for(lambda: gateway.descriptors() >= before + 1_000)
            begun = time.monotonic()
            assert gateway.http.post("/detect", files={"image": PICTURE}).status_code == 200
            assert time.monotonic() - begun < 2
            assert gateway.peak_mb() - memory < 40
            stack.close()
            wait_for(lambda: gateway.descriptors() <= before, within_s=15)
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
        (answer,) = exchange(gateway, whole(PICTURE))
        assert "more than 3 connections" in answer.problem(503, "service-unavailable")
        assert answer.headers["retry-after"] == "1"
        clients[0].sendall(whole(PICTURE))  # connected before the limit was reached
        assert one(clients[0]).status == 200
        stack.close()
        wait_for(lambda: exchange(gateway, whole(PICTURE, CLOSE))[0].status == 200)


@pytest.mark.parametrize("sent", [b"", b"GET /livez HT", b"\r\n"])
def test_the_oldest_connection_without_a_head_gives_way(backend: FakeBackend, sent: bytes) -> None:
    with (
        GatewayProcess(backend=backend.target, max_connections=3) as gateway,
        ExitStack() as stack,
    ):
        gateway.http.close()
        silent = []
        for _ in range(3):
            silent.append(stack.enter_context(connect(gateway)))
            silent[-1].sendall(sent)
        for nth in range(2):
            (answer,) = exchange(gateway, whole(PICTURE, CLOSE))
            assert answer.status == 200
            if nth == 0:
                (given_way,) = to_the_end(silent[0])
                given_way.problem(503, "service-unavailable")
        silent[1].settimeout(0.1)
        with pytest.raises(TimeoutError):  # there was room for the second one
            silent[1].recv(100)


def test_probes_do_not_make_each_other_give_way(backend: FakeBackend) -> None:
    """64 of them at the same time, connected before any sends."""
    with (
        GatewayProcess(backend=backend.target, max_connections=2) as gateway,
        ExitStack() as stack,
    ):
        gateway.http.close()
        for _ in range(2):
            client = stack.enter_context(connect(gateway))
            client.sendall(get("/livez"))
            assert one(client).status == 200
        probes = [stack.enter_context(connect(gateway)) for _ in range(64)]
        for probe in probes:
            probe.sendall(get("/livez"))
        assert [to_the_end(probe)[0].status for probe in probes] == [200] * 64


@pytest.mark.parametrize(
    "refused", [get("/livez"), get("/nowhere"), post("Content-Length: 1000", body=b"x")]
)
def test_connections_that_linger_keep_no_probe_out(backend: FakeBackend, refused: bytes) -> None:
    """Their last response is sent, and their clients do not close."""
    with (
        GatewayProcess(backend=backend.target, max_connections=2) as gateway,
        ExitStack() as stack,
    ):
        gateway.http.close()
        for _ in range(2):
            client = stack.enter_context(connect(gateway))
            client.sendall(get("/livez"))
            assert one(client).status == 200
        for _ in range(150):
            client = stack.enter_context(connect(gateway))
            client.sendall(refused)
            assert one(client).headers["connection"] == "close"
        (answer,) = exchange(gateway, get("/livez"))
        assert answer.status == 200


@pytest.mark.slow
def test_silent_connections_keep_no_probe_and_no_caller_out(backend: FakeBackend) -> None:
    """More of them than the gateway takes, reopened as soon as they are closed."""
    with GatewayProcess(backend=backend.target) as gateway:
        gateway.http.close()
        probes, callers = Counter[int](), Counter[int]()
        with SilentFlood(int(gateway.url.rpartition(":")[2]), FLOOD) as flood:
            for number in range(PROBES):
                path = "/readyz" if number % 2 else "/livez"
                probes[exchange(gateway, get(path, CLOSE))[0].status] += 1
                if number % 10 == 0:
                    callers[exchange(gateway, whole(PICTURE, CLOSE))[0].status] += 1
    assert probes == {200: PROBES}
    assert callers == {200: PROBES // 10}
    assert flood.reopened > PROBES  # each took the place of a silent connection
