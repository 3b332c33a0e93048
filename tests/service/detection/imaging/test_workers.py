"""Threads and memory for pixel work: limited, shared first come first served, and given back."""

import asyncio
import threading
import time

import pytest

from service.core.errors import DeadlineExceeded, TooLarge
from service.detection.imaging.workers import PixelWorkers


def soon(seconds: float = 5) -> float:
    return time.perf_counter() + seconds


def test_memory_is_reserved_in_order_and_released() -> None:
    async def scenario() -> None:
        workers = PixelWorkers(100, 2)
        order: list[str] = []

        async def work(name: str, count: int) -> None:
            async with workers.reserve(count, soon()):
                order.append(name)
                await asyncio.sleep(0.01)

        async with workers.reserve(80, soon()):
            tasks = [asyncio.create_task(work(*each)) for each in (("large", 90), ("small", 10))]
            await asyncio.sleep(0.01)
            assert order == []  # the small one would fit, but the large one came first
        await asyncio.gather(*tasks)
        assert order == ["large", "small"]
        assert workers.free == 100

    asyncio.run(scenario())


def test_more_than_there_is_at_all_is_rejected() -> None:
    async def scenario() -> None:
        with pytest.raises(TooLarge, match="takes 101 bytes of memory; the limit is 100"):
            async with PixelWorkers(100, 1).reserve(101, soon()):
                pass

    asyncio.run(scenario())


def test_a_wait_ends_at_the_deadline_and_those_behind_it_go_on() -> None:
    async def scenario() -> None:
        workers = PixelWorkers(100, 1)
        async with workers.reserve(50, soon()):
            with pytest.raises(DeadlineExceeded):
                async with workers.reserve(80, soon(0.02)):
                    pass
            async with workers.reserve(50, soon(0.02)):
                assert workers.free == 0
        assert workers.free == 100

    asyncio.run(scenario())


def test_memory_is_held_until_the_thread_has_ended() -> None:
    """A decoder cannot be stopped, so its memory stays reserved after its caller disconnected."""

    async def scenario() -> None:
        workers = PixelWorkers(100, 1)
        go_on = threading.Event()
        with pytest.raises(DeadlineExceeded):
            async with workers.reserve(60, soon(0.05)) as memory:
                await memory.run(go_on.wait, 5)
        assert workers.free == 40
        go_on.set()
        async with workers.reserve(100, soon()):
            assert workers.free == 0
        assert workers.free == 100

    asyncio.run(scenario())


def test_work_that_has_not_begun_at_the_deadline_never_does() -> None:
    async def scenario() -> None:
        workers = PixelWorkers(100, 1)
        go_on, begun = threading.Event(), threading.Event()

        async def late() -> None:
            async with workers.reserve(10, soon(0.05)) as memory:
                await memory.run(begun.set)

        async with workers.reserve(10, soon()) as memory:
            busy = asyncio.create_task(memory.run(go_on.wait, 5))
            await asyncio.sleep(0.01)
            with pytest.raises(DeadlineExceeded):
                await late()
            go_on.set()
            await busy
        await asyncio.sleep(0.05)
        assert not begun.is_set()
        assert workers.free == 100

    asyncio.run(scenario())


def test_a_result_keeps_its_share() -> None:
    async def scenario() -> None:
        workers = PixelWorkers(100, 1)
        async with workers.reserve(80, soon()) as memory:
            memory.keep(30)
            assert workers.free == 70
        assert workers.free == 100

    asyncio.run(scenario())
