"""A slot at the model server: at most so many at once, so many waiting, and none lost."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.core.errors import BadPicture, DeadlineExceeded, Full
from service.detection.admission import Admission


def make(max_in_flight: int, max_queue: int) -> tuple[Admission, Gauge, Gauge]:
    registry = CollectorRegistry()
    in_flight, queued = Gauge("a", "", registry=registry), Gauge("b", "", registry=registry)
    return Admission(max_in_flight, max_queue, 10, in_flight, queued), in_flight, queued


def value(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


def test_one_more_than_may_wait_is_refused_at_once() -> None:
    async def scenario() -> None:
        admission, in_flight, queued = make(2, 1)
        leave = asyncio.Event()
        peak = 0.0

        async def work() -> None:
            nonlocal peak
            async with admission.slot(5):
                peak = max(peak, value(in_flight))
                await leave.wait()

        tasks = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert (value(in_flight), value(queued)) == (2, 1)
        with pytest.raises(Full, match="2 pictures are being processed and 1 are waiting"):
            async with admission.slot(5):
                pass
        leave.set()
        await asyncio.gather(*tasks)
        assert peak == 2
        assert (value(in_flight), value(queued)) == (0, 0)

    asyncio.run(scenario())


def test_waiting_ends_with_the_budget_and_the_place_is_not_lost() -> None:
    async def scenario() -> None:
        admission, in_flight, queued = make(1, 5)
        async with admission.slot(1):
            with pytest.raises(DeadlineExceeded, match=r"Waited 0\.1 s"):
                async with admission.slot(0.05):
                    pass
        async with admission.slot(0.05):
            assert (value(in_flight), value(queued)) == (1, 0)

    asyncio.run(scenario())


def test_without_budget_no_slot_is_acquired() -> None:
    async def scenario() -> None:
        admission, in_flight, _ = make(1, 5)
        with pytest.raises(DeadlineExceeded, match="No time was left"):
            async with admission.slot(-2.7):
                pass
        assert value(in_flight) == 0

    asyncio.run(scenario())


def test_a_caller_that_gives_up_or_fails_leaves_its_place() -> None:
    async def scenario() -> None:
        admission, in_flight, queued = make(1, 5)
        holding = asyncio.Event()

        async def hold() -> None:
            async with admission.slot(5):
                holding.set()
                await asyncio.sleep(5)

        async def wait() -> None:
            async with admission.slot(5):
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
            async with admission.slot(0.05):
                raise ValueError("boom")
        async with admission.slot(0.05):
            assert value(in_flight) == 1

    asyncio.run(scenario())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def paced(places: int, queue: int, pace_s: float) -> tuple[Admission, Clock, Gauge]:
    """An admission that has seen single pictures, each taking `pace_s`, with pauses between."""
    registry, clock = CollectorRegistry(), Clock()
    queued = Gauge("b", "", registry=registry)
    admission = Admission(places, queue, 99, Gauge("a", "", registry=registry), queued, clock)

    async def learn() -> None:
        for _ in range(3):
            await admission.acquire(99)
            clock.now += pace_s
            admission.release()
            clock.now += 1000

    asyncio.run(learn())
    return admission, clock, queued


async def fill(admission: Admission, places: int, waiting: int) -> list[asyncio.Task[None]]:
    for _ in range(places):
        await admission.acquire(9999)
    tasks = [asyncio.create_task(admission.acquire(9999)) for _ in range(waiting)]
    await asyncio.sleep(0)
    return tasks


def test_requests_that_cannot_meet_their_deadline_are_rejected_with_retry_after() -> None:
    admission, _, queued = paced(2, 100, 5)

    async def scenario() -> None:
        tasks = await fill(admission, 2, 8)
        # Two at work and eight waiting, one leaving every 5 s: 45 s to wait, 10 of its own, and a
        # quarter more because these are averages: 68.75.
        words = "2 pictures are being processed and 8 are waiting, about 45.0 s more"
        with pytest.raises(Full, match=words) as full:
            await admission.acquire(68)
        assert full.value.retry_after_s == 45
        tasks.append(asyncio.create_task(admission.acquire(69)))
        await asyncio.sleep(0)
        assert value(queued) == 9
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())


def test_a_backend_that_has_stopped_becomes_slow_before_anything_leaves_it() -> None:
    admission, clock, _ = paced(1, 100, 1)

    async def scenario() -> None:
        await admission.acquire(99)
        clock.now += 1
        with pytest.raises(Full, match=r"about 1\.0 s more"):
            await admission.acquire(2.4)  # 2.5 are needed
        clock.now += 100
        with pytest.raises(Full, match=r"about 26\.0 s more"):
            await admission.acquire(14)

    asyncio.run(scenario())


def test_work_that_was_given_up_does_not_make_a_backend_seem_quick() -> None:
    admission, clock, _ = paced(1, 100, 10)

    async def fail(error: BaseException) -> None:
        async with admission.slot(99):
            clock.now += 0.01
            raise error

    async def give_up(error: BaseException) -> None:
        with pytest.raises(type(error)):
            await fail(error)

    async def scenario() -> None:
        for _ in range(50):
            await give_up(DeadlineExceeded("late"))
            await give_up(asyncio.CancelledError())
        await admission.acquire(99)
        with pytest.raises(Full, match=r"about 10\.0 s more"):
            await admission.acquire(24)
        admission.release()
        for _ in range(60):  # a damaged picture is done with, and quickly
            await give_up(BadPicture("bad"))
        await admission.acquire(99)
        with pytest.raises(Full, match=r"about 0\.2 s more"):
            await admission.acquire(0.1)

    asyncio.run(scenario())


def test_the_first_of_many_to_leave_stands_for_those_beside_it() -> None:
    async def scenario() -> None:
        registry, clock = CollectorRegistry(), Clock()
        in_flight, queued = Gauge("a", "", registry=registry), Gauge("b", "", registry=registry)
        admission = Admission(16, 64, 99, in_flight, queued, clock)
        for _ in range(16):
            await admission.acquire(99)
        clock.now += 1.6  # all at once, as threads share a processor: a tenth of a second each
        admission.release()
        await admission.acquire(99)
        tasks = await fill(admission, 0, 30)
        with pytest.raises(Full, match=r"about 3\.1 s more"):
            await admission.acquire(5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())
