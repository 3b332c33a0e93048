"""More slots than a model server can fill within the deadline, in simulated time."""

import asyncio
import random
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.core.errors import DeadlineExceeded, Full
from service.detection.admission import Admission
from tests.support.fakes.shared_processor import SharedProcessor
from tests.support.oracles import virtual_time

SLOTS = 16
BUDGET_S = 10.0


class Callers:
    """Send pictures to a model server behind an admission, and count what comes of them."""

    def __init__(self, work_s: float, cores: int = 1) -> None:
        self.loop = asyncio.get_running_loop()
        self.chance = random.Random(1)
        registry = CollectorRegistry()
        gauges = Gauge("a", "", registry=registry), Gauge("b", "", registry=registry)
        self.admission = Admission(SLOTS, 64, BUDGET_S, *gauges, clock=self.loop.time)
        self.server = SharedProcessor(work_s, self.chance, cores)
        self.serving = asyncio.create_task(self.server.serve(work_s / 20))
        self.counts: Counter[str] = Counter()

    async def picture(self, budget_s: float = BUDGET_S) -> None:
        came = self.loop.time()
        try:
            async with self.admission.slot(budget_s):
                try:
                    async with asyncio.timeout_at(came + budget_s):
                        await self.server.call()
                except TimeoutError as error:
                    raise DeadlineExceeded("late") from error
            self.counts["answered"] += 1
        except Full:
            self.counts["rejected"] += 1
        except DeadlineExceeded:
            self.counts["late"] += 1

    async def arrive(self, rate: float, seconds: float, budget_s: float = BUDGET_S) -> Counter[str]:
        """Poisson arrivals; what came of them."""
        self.counts = Counter()
        pictures, until = [], self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(self.chance.expovariate(rate))
            pictures.append(asyncio.create_task(self.picture(budget_s)))
        await asyncio.gather(*pictures)
        return self.counts


# With 3 s a picture two are in time, so that at twice the capacity chance leaves it idle at times.
@pytest.mark.parametrize(
    ("times", "work_s"), [(2, 0.7), (2, 0.9), (2, 1.5), (8, 0.7), (8, 0.9), (8, 1.5), (8, 3.0)]
)
def test_a_slow_model_server_answers_at_its_pace(times: float, work_s: float) -> None:
    """Sixteen at once would take 11 to 48 s, and nobody would be answered. One burst shows that."""

    async def scenario() -> tuple[Counter[str], Counter[str]]:
        callers = Callers(work_s)
        await callers.arrive(0.5 / work_s, 20 * work_s)
        first = await callers.arrive(times / work_s, 40)
        return first, await callers.arrive(times / work_s, 300 * work_s)

    first, then = virtual_time.run(scenario())
    assert first["late"] <= SLOTS + 4
    assert then["answered"] > 0.93 * 300
    assert then["late"] <= SLOTS + 0.02 * then["answered"]


def test_in_an_hour_few_are_late() -> None:
    """Whether the model server has become faster is tried now and then, by one burst."""

    async def scenario() -> Counter[str]:
        return await Callers(0.9).arrive(8 / 0.9, 3600)

    counts = virtual_time.run(scenario())
    assert counts["answered"] > 0.95 * 3600 / 0.9
    assert counts["late"] <= 0.05 * counts["answered"]


def test_callers_without_patience_do_not_slow_down_the_others() -> None:
    async def scenario() -> Counter[str]:
        callers = Callers(0.5, cores=SLOTS)
        seen: Counter[str] = Counter()
        for _ in range(5):
            await callers.picture(0.3)
            seen += await callers.arrive(4, 60, budget_s=1.0)
        return seen

    assert set(virtual_time.run(scenario())) == {"answered"}


def test_overload_from_the_first_request_ends_with_answers() -> None:
    """Nothing is known of the model server, and nothing of the first burst is answered."""

    async def scenario() -> tuple[Counter[str], Counter[str]]:
        callers = Callers(0.9)
        first = await callers.arrive(8 / 0.9, 60)
        return first, await callers.arrive(8 / 0.9, 180)

    first, then = virtual_time.run(scenario())
    assert first["late"] <= 3 * SLOTS
    assert then["answered"] > 0.9 * 180 / 0.9
    assert then["late"] <= 0.05 * then["answered"]


def test_a_model_server_that_stood_still_is_used_in_full_again() -> None:
    async def scenario() -> list[Counter[str]]:
        callers = Callers(0.1)
        seen = [await callers.arrive(5, 20)]
        callers.serving.cancel()
        seen.append(await callers.arrive(5, 30))
        callers.serving = asyncio.create_task(callers.server.serve(0.005))
        await callers.arrive(5, 2)
        return [*seen, await callers.arrive(5, 60)]

    before, still, after = virtual_time.run(scenario())
    assert set(before) == set(after) == {"answered"}
    assert set(still) == {"late", "rejected"}
    assert still["late"] <= 3 * SLOTS


def test_a_lone_expired_picture_does_not_slow_down_those_after_it() -> None:
    """One of the model servers was lost with a picture."""

    async def scenario() -> Counter[str]:
        callers = Callers(0.02)
        await callers.arrive(5, 2)
        callers.server.work_s = 1000
        await callers.picture()
        assert callers.counts["late"] == 1
        callers.server.work_s = 0.02
        await callers.picture()
        return await callers.arrive(30, 20)

    counts = virtual_time.run(scenario())
    assert set(counts) == {"answered"}


def test_a_burst_after_single_pictures_is_answered_by_many_cores() -> None:
    """With one core for each picture they take 1 s, alone or sixteen at once."""

    async def scenario() -> list[Counter[str]]:
        callers = Callers(1.0, cores=SLOTS)
        seen = []
        for _ in range(10):
            for _ in range(5):
                await callers.picture()
            callers.counts = Counter()
            await asyncio.gather(*(callers.picture() for _ in range(SLOTS)))
            seen.append(callers.counts)
        return seen

    first, *rest = virtual_time.run(scenario())
    assert first["answered"] >= 6  # ten single pictures a second would be all that is known
    assert sum(counts["answered"] for counts in rest) >= 0.9 * SLOTS * len(rest)
