"""One client's upload never delays the others: the event loop stays responsive meanwhile."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from tests.support.callers.caller import Caller
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.bombs import SIZE, bombs
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

BOMBS = bombs()


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        yield gateway


@contextmanager
def probed(url: str, seconds: list[float]) -> Iterator[None]:
    """Asks /livez every few milliseconds, and adds how long each answer took."""
    stop = threading.Event()

    def ask() -> None:
        with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
            while not stop.wait(0.005):
                started = time.perf_counter()
                connection.request("GET", "/livez")
                assert connection.getresponse().read() == b"ok\n"
                seconds.append(time.perf_counter() - started)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stop.set()
    thread.join()


def longest_stall(gateway: GatewayProcess, data: bytes) -> tuple[int, float]:
    seconds: list[float] = []
    with probed(gateway.url, seconds), closing(Caller(gateway.url)) as caller:
        status, _ = caller.detect(data)
    return status, max(seconds)


@pytest.mark.parametrize("name", BOMBS)
def test_a_header_of_millions_of_parts_does_not_stall_the_event_loop(
    name: str, gateway: GatewayProcess
) -> None:
    """Was 3 to 8 s; a plain upload of the same size is what it is compared with."""
    plain = max(longest_stall(gateway, picture() + bytes(SIZE))[1] for _ in range(3))
    status, stall = longest_stall(gateway, BOMBS[name])
    assert status in (200, 400)
    assert stall < 3 * plain + 0.1
