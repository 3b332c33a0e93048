"""A place at the backend: at most so many at once, so many waiting, and none lost."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.admission import Admission
from service.errors import BadPicture, DeadlineExceeded, Full


def make(max_in_flight: int, max_queue: int) -> tuple[Admission, Gauge, Gauge]:
    registry = CollectorRegistry()
    in_flight, queued = Gauge("a", "", registry=registry), Gauge("b", "", registry=registry)
    return Admission(max_in_flight, max_queue, in_flight, queued), in_flight, queued


def value(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


def test_one_more_than_may_wait_is_refused_at_once() -> None:
    async def scenario() -> None:
        admission, in_flight, queued = make(2, 1)
        leave = asyncio.Event()
        peak = 0.0

        async def work() -> None:
            nonlocal peak
            async with admission.place(5):
                peak = max(peak, value(in_flight))
                await leave.wait()

        tasks = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert (value(in_flight), value(queued)) == (2, 1)
        with pytest.raises(Full, match="2 pictures are being worked on and 1 are waiting"):
            async with admission.place(5):
                pass
        leave.set()
        await asyncio.gather(*tasks)
        assert peak == 2
        assert (value(in_flight), value(queued)) == (0, 0)

    asyncio.run(scenario())


def test_waiting_ends_with_the_budget_and_the_place_is_not_lost() -> None:
    async def scenario() -> None:
        admission, in_flight, queued = make(1, 5)
        async with admission.place(1):
            with pytest.raises(DeadlineExceeded, match=r"Waited 0\.1 s"):
                async with admission.place(0.05):
                    pass
        async with admission.place(0.05):
            assert (value(in_flight), value(queued)) == (1, 0)

    asyncio.run(scenario())


def test_no_budget_left_is_no_place() -> None:
    async def scenario() -> None:
        admission, in_flight, _ = make(1, 5)
        with pytest.raises(DeadlineExceeded, match="No time was left"):
            async with admission.place(-2.7):
                pass
        assert value(in_flight) == 0

    asyncio.run(scenario())


def test_a_caller_that_gives_up_or_fails_leaves_its_place() -> None:
    async def scenario() -> None:
        admission, in_flight, queued = make(1, 5)
        holding = asyncio.Event()

        async def hold() -> None:
            async with admission.place(5):
                holding.set()
                await asyncio.sleep(5)

        async def wait() -> None:
            async with admission.place(5):
                raise AssertionError("there was no place")

        holder = asyncio.create_task(hold())
        await holding.wait()
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert value(queued) == 0
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)
        with pytest.raises(ValueError, match="boom"):
            async with admission.place(0.05):
                raise ValueError("boom")
        async with admission.place(0.05):
            assert value(in_flight) == 1

    asyncio.run(scenario())


def test_who_cannot_be_answered_in_time_is_refused_at_once_and_told_when_to_come_back() -> None:
    async def scenario() -> None:
        admission, _, queued = make(2, 100)

        async def work(seconds: float) -> None:
            async with admission.place(5):
                await asyncio.sleep(seconds)

        for _ in range(60):  # it learns how long a place is held: 20 ms
            await asyncio.gather(work(0.02), work(0.02))
        tasks = [asyncio.create_task(work(0.02)) for _ in range(2 + 10)]
        await asyncio.sleep(0)
        # Two at work and ten waiting: about 11 x 20 / 2 ms to wait, and 20 of its own.
        with pytest.raises(Full, match="2 pictures are being worked on and 10 are waiting") as full:
            async with admission.place(0.06):
                pass
        assert full.value.retry_after_s == 1
        # About 130 of 150 ms: too near, for it is an average.
        with pytest.raises(Full):
            async with admission.place(0.15):
                pass
        async with admission.place(2):
            assert value(queued) == 0  # they came first
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_work_that_was_given_up_does_not_make_places_seem_quick() -> None:
    async def scenario() -> None:
        admission, *_ = make(1, 100)
        await admission.enter(99)
        admission.leave(100)  # an estimate of 10 s
        for error in (DeadlineExceeded("late"), asyncio.CancelledError()) * 50:
            with pytest.raises(type(error)):
                async with admission.place(99):
                    raise error
        async with admission.place(99):
            with pytest.raises(Full, match=r"about 10\.0 s of work"):
                await admission.enter(15)
        for _ in range(50):  # a damaged picture is done with, and quickly
            with pytest.raises(BadPicture):
                async with admission.place(99):
                    raise BadPicture("bad")
        async with admission.place(99):
            with pytest.raises(DeadlineExceeded):
                await admission.enter(0.5)

    asyncio.run(scenario())


def test_the_time_to_come_back_grows_with_the_work_that_waits() -> None:
    async def scenario() -> None:
        admission, *_ = make(2, 8)
        await admission.enter(99)
        admission.leave(100)  # one place was held so long: an estimate of 10 s
        await admission.enter(99)
        await admission.enter(99)
        waiting = [asyncio.create_task(admission.enter(99)) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(Full) as full:
            await admission.enter(99)
        assert full.value.retry_after_s == 45  # the ninth in a queue that moves on every 5 s
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(scenario())
