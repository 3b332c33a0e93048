"""The fleet: model servers that join and leave while calls are made, over real gRPC."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from service.backend.client import TFServing
from service.core import errors
from service.core.metrics import Metrics
from service.settings import Settings
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.certificates import Certificates

INTERVAL_S = 0.05
NAME = "models.test"


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of `models.test`, for a test to change."""
    addresses = ["127.0.0.1"]
    system = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        if host != NAME:
            return list(system(host, port, *args, **kwargs))
        if "NXDOMAIN" in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return addresses


def call(port: int, use: Callable[[TFServing], Awaitable[Any]], **settings: Any) -> Metrics:
    metrics = Metrics()

    async def run() -> None:
        backend = f"dns:///{NAME}:{port}"
        serving = TFServing(
            "yolov4", Settings(backend=backend, resolve_interval_s=INTERVAL_S, **settings), metrics
        )
        try:
            await use(serving)
        finally:
            await serving.close()

    asyncio.run(run())
    return metrics


def backends(metrics: Metrics) -> dict[str, float]:
    (family,) = (f for f in metrics.registry.collect() if f.name == "detect_backend_ejected")
    return {sample.labels["backend"]: sample.value for sample in family.samples}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_each_address_is_a_target_of_its_own(hosts: list[str]) -> None:
    async def use(serving: TFServing) -> None:
        for _ in range(20):
            await serving.predict(b"", 5)

    with FakeBackend() as one, FakeBackend(host="127.0.0.2", port=one.port) as two:
        hosts.append(two.host)
        metrics = call(one.port, use)
        assert (len(one.pictures), len(two.pictures)) == (10, 10)
    assert backends(metrics) == {one.target: 0, two.target: 0}


def test_a_new_address_gets_calls_after_its_first_health_check(hosts: list[str]) -> None:
    async def use(serving: TFServing) -> None:
        await serving.version(5)
        hosts.append(two.host)
        await until(lambda: len(serving._backends.targets) == 2)
        for _ in range(4):
            await serving.predict(b"", 5)
        assert not two.pictures
        await serving.version(5)
        await until(lambda: not any(target.ejected for target in serving._backends.targets))
        for _ in range(8):
            await serving.predict(b"", 5)

    with FakeBackend() as one, FakeBackend(host="127.0.0.2", port=one.port) as two:
        call(one.port, use)
        assert (len(one.pictures), len(two.pictures)) == (8, 4)


def test_an_address_that_vanishes_completes_its_calls_and_gets_no_more(hosts: list[str]) -> None:
    async def use(serving: TFServing) -> None:
        await serving.predict(b"", 5)
        two.delay_s = 0.5
        calls = [asyncio.create_task(serving.predict(b"", 5)) for _ in range(4)]
        await until(lambda: len(two.pictures) > 0)
        hosts.remove(two.host)
        await until(lambda: len(serving._backends.targets) == 1)
        before = len(two.pictures)
        for _ in range(4):
            await serving.predict(b"", 5)
        assert len(two.pictures) == before
        await asyncio.gather(*calls)

    with FakeBackend() as one, FakeBackend(host="127.0.0.2", port=one.port) as two:
        hosts.append(two.host)
        metrics = call(one.port, use)
        assert two.cancelled == 0
    assert backends(metrics) == {one.target: 0}
    assert (
        metrics.registry.get_sample_value("detect_backend_retries_total", {"model": "yolov4"}) == 0
    )


def test_a_health_check_of_an_address_that_vanishes_ends_well(hosts: list[str]) -> None:
    """A channel that is closed under a call would cancel whoever waits for it."""

    async def use(serving: TFServing) -> None:
        two.status_delay_s = one.status_delay_s = 0.3
        checks = asyncio.create_task(serving.version(5))
        await asyncio.sleep(0.1)
        hosts.remove(two.host)
        await until(lambda: len(serving._backends.targets) == 1)
        assert await checks == 3
        assert await serving.version(5) == 3

    with FakeBackend() as one, FakeBackend(host="127.0.0.2", port=one.port) as two:
        hosts.append(two.host)
        call(one.port, use)


def test_all_addresses_are_replaced_at_once(hosts: list[str]) -> None:
    async def use(serving: TFServing) -> None:
        await serving.predict(b"", 5)
        hosts[:] = [two.host]
        await until(lambda: serving._backends.targets[0].name == two.target)
        await serving.predict(b"", 5)

    with FakeBackend() as one, FakeBackend(host="127.0.0.2", port=one.port) as two:
        call(one.port, use)
        assert (len(one.pictures), len(two.pictures)) == (1, 1)


def test_a_name_without_an_address_is_unavailable_until_it_has_one(hosts: list[str]) -> None:
    async def use(serving: TFServing) -> None:
        hosts.clear()
        for ask in (serving.predict(b"", 1), serving.version(1)):
            with pytest.raises(errors.NoBackend, match="has no address"):
                await ask
        assert serving.models() == []
        hosts.append(one.host)
        await until(lambda: len(serving._backends.targets) == 1)
        await serving.predict(b"", 5)

    with FakeBackend() as one:
        call(one.port, use)


def test_tls_expects_the_name_and_not_its_address(hosts: list[str], tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    made.cert, made.key = made.identity(NAME)

    async def use(serving: TFServing) -> None:
        assert await serving.version(5) == 3

    with FakeBackend(credentials=made.server()) as one:
        call(one.port, use, backend_ca_file=str(made.ca))
        with pytest.raises(errors.NoBackend):
            call(one.port, use, backend_ca_file=str(made.ca), backend_server_name="other.test")


def test_fifty_addresses_and_a_name_that_is_lost_for_a_while_under_load(hosts: list[str]) -> None:
    """No call fails while the answer is empty, then an error, then one of both families."""
    fifty = [f"127.0.0.{n}" for n in range(2, 52)]

    async def use(serving: TFServing) -> None:
        stopped = asyncio.Event()

        async def caller() -> None:
            while not stopped.is_set():
                await serving.predict(b"", 10)

        await serving.predict(b"", 10)
        callers = [asyncio.create_task(caller()) for _ in range(4)]
        hosts[:] = fifty
        await until(lambda: len(serving._backends.targets) == 50)
        await serving.version(10)
        await until(lambda: not any(target.ejected for target in serving._backends.targets))
        for answer in ([], ["NXDOMAIN"], ["::1", *fifty]):
            hosts[:] = answer
            await asyncio.sleep(4 * INTERVAL_S)
            assert len(serving._backends.targets) == 50
        stopped.set()
        await asyncio.gather(*callers)

    with FakeBackend(host="0.0.0.0") as server:
        metrics = call(server.port, use)
    assert set(backends(metrics)) == {f"{host}:{server.port}" for host in fifty}
