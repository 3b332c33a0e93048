"""A model server that becomes four times slower under overload: few admitted pictures are late."""

import asyncio
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.core.errors import DeadlineExceeded, Full
from service.detection.admission import Admission
from tests.support.callers.caller import Caller
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.fakes.shared_processor import SharedProcessor
from tests.support.inputs.pictures import picture
from tests.support.oracles import virtual_time
from tests.support.processes.gateway_process import GatewayProcess

SLOTS = 16
SLOWER_AT_S = 20.0
END_S = 60.0


async def overload(work_s: float, budget_s: float) -> dict[str, Counter[str]]:
    """Three times the server's capacity; outcomes of requests before and after it slowed down."""
    loop, chance, registry = asyncio.get_running_loop(), random.Random(1), CollectorRegistry()
    gauges = Gauge("a", "", registry=registry), Gauge("b", "", registry=registry)
    admission = Admission(SLOTS, 64, budget_s, *gauges, clock=loop.time)
    server = SharedProcessor(work_s, chance)
    seen: dict[str, Counter[str]] = {"before": Counter(), "after": Counter()}

    async def picture() -> None:
        came = loop.time()
        counts = seen["after" if came > SLOWER_AT_S + 1 else "before"]
        try:
            async with admission.slot(budget_s):
                try:
                    async with asyncio.timeout_at(came + budget_s):
                        await server.call()
                except TimeoutError as error:
                    raise DeadlineExceeded("late") from error
            counts["answered"] += 1
        except Full:
            counts["rejected"] += 1
        except DeadlineExceeded:
            counts["late"] += 1

    serving = asyncio.create_task(server.serve(work_s / 10))
    pictures = []
    while loop.time() < END_S:
        await asyncio.sleep(chance.expovariate(3 / work_s))
        if loop.time() > SLOWER_AT_S:
            server.work_s = 4 * work_s
        pictures.append(asyncio.create_task(picture()))
    await asyncio.gather(*pictures)
    serving.cancel()
    return seen


@pytest.mark.parametrize(("work_s", "budget_s"), [(0.02, 2.0), (0.1, 10.0), (0.05, 10.0)])
def test_few_admitted_pictures_are_late(work_s: float, budget_s: float) -> None:
    seen = virtual_time.run(overload(work_s, budget_s))
    before, after = seen["before"], seen["after"]
    # What was in a slot when the server became slower cannot be helped; what waited can.
    assert before["late"] <= SLOTS + 2
    assert before["answered"] > 0.9 * SLOWER_AT_S / work_s
    assert after["late"] <= 0.05 * (after["late"] + after["answered"])
    assert after["answered"] > 0.8 * (END_S - SLOWER_AT_S - 1) / (4 * work_s)


CALLERS, PAUSE_S = 80, 0.2
FAST_S, SLOW_S = 0.1, 0.4  # of four calls at a time
DEADLINE_S = 2.0
FAST_FOR_S, SLOW_FOR_S = 4.0, 8.0


@pytest.mark.slow
def test_within_a_second_of_the_real_clock_the_estimate_follows() -> None:
    """A gateway, a backend and eighty callers on sockets. `pytest -rP` shows the counts."""
    seen: dict[str, Counter[int]] = {
        part: Counter() for part in ("before", "first second", "after")
    }
    lock, stop = threading.Lock(), threading.Event()

    with (
        FakeBackend(delay_s=FAST_S) as backend,
        GatewayProcess(
            backend=backend.target, max_in_flight=4, max_queue=200, deadline_s=DEADLINE_S
        ) as gateway,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        slower_at = time.monotonic() + FAST_FOR_S

        def keep_asking(_: int) -> None:
            with closing(Caller(gateway.url)) as caller:
                while not stop.wait(PAUSE_S):
                    since_s = time.monotonic() - slower_at
                    status = caller.detect(picture())[0]
                    part = "after" if since_s > 1 else "first second" if since_s > 0 else "before"
                    with lock:
                        seen[part][status] += 1

        asking = threads.map(keep_asking, range(CALLERS))
        time.sleep(FAST_FOR_S)
        backend.delay_s = SLOW_S
        time.sleep(SLOW_FOR_S)
        stop.set()
        list(asking)

    sys.stdout.write(f"{seen}\n")
    before, after = seen["before"], seen["after"]
    assert before[200] > 0.5 * FAST_FOR_S * 4 / FAST_S
    assert before[503] > 0  # overloaded: there is a queue
    assert after[200] > 0.5 * (SLOW_FOR_S - 1) * 4 / SLOW_S
    assert after[504] <= 0.05 * (after[200] + after[504])
    total = before + seen["first second"] + after
    assert total[504] <= 0.05 * (total[200] + total[504])
