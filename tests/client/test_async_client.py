"""The asynchronous client against the real gateway."""

import asyncio
from collections.abc import Iterator

import pytest
from detect_client import AsyncClient, InvalidPicture, Result, Unavailable

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.fakes.http_server import HttpServer
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        yield gateway.url


def test_the_same_answers_as_the_blocking_client(url: str) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            one = await client.detect(picture(), score_threshold=0.1, max_detections=2)
            assert [d.label for d in one.detections] == ["dog", "cat"]
            first, bad = await client.detect_batch([picture(), b"rubbish"], labels=["cat"])
            assert isinstance(first, Result)
            assert [d.label for d in first.detections] == ["cat"]
            assert isinstance(bad, InvalidPicture)
            with pytest.raises(InvalidPicture, match="not a picture"):
                await client.detect(b"rubbish")

    asyncio.run(run())


def test_many_keep_their_order(url: str) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            pictures = [picture(16 + i, 16) for i in range(40)]
            pictures[7] = b"rubbish"
            answers = [a async for a in client.detect_many(pictures, return_errors=True)]
            assert isinstance(answers.pop(7), InvalidPicture)
            widths = [a.width for a in answers if isinstance(a, Result)]
            assert widths == [16 + i for i in range(40) if i != 7]
            with pytest.raises(ValueError, match="in_flight"):
                await anext(client.detect_many(pictures, in_flight=0))

    asyncio.run(run())


def test_one_that_stops_early_leaves_nothing_running(url: str) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            many = client.detect_many([picture()] * 50, in_flight=5)
            async for _ in many:
                break
            await many.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_cancelling_ends_a_wait_for_a_full_service() -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.detect(picture()), 0.3)
        async with AsyncClient(url, timeout_s=1) as client:
            with pytest.raises(Unavailable):
                await client.detect(picture())

    with HttpServer(lambda _: (503, {"Retry-After": "20"}, b"{}")) as server:
        asyncio.run(run(server.url))
