"""The open loop next to a closed one: a stall that only the open loop shows."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loadtest.client import Service
from loadtest.commands.tally import Tally
from loadtest.load import (
    Availability,
    ConnectionPool,
    Request,
    arrivals,
    closed_loop,
    open_loop,
)
from loadtest.pictures import Pictures, read_folder
from tests.support.fakes.load_target import LoadTarget
from tests.support.processes.gateway_process import wait_for

STALL_S = 2.0


def stall_once(service: LoadTarget, after: int) -> None:
    wait_for(lambda: service.requests >= after, 60)
    service.stall_until = time.monotonic() + STALL_S


def encoder(service: Service, pictures: Pictures) -> Callable[[int], Request]:
    return lambda number: (service.detect(pictures.read(number)), [number])


def closed(service: LoadTarget, images: Path, seconds: float) -> Tally:
    async def run() -> Tally:
        pictures, tally, stop = read_folder(images), Tally(), asyncio.Event()
        where = Service.at(service.url)
        requests = map(encoder(where, pictures), pictures.order(0))
        availability = Availability(where, stop, 1)
        await closed_loop(where, requests, 2, tally.add, availability, stop, seconds)
        return tally

    return asyncio.run(run())


def opened(service: LoadTarget, images: Path, rate: float, seconds: float, seed: int = 0) -> Tally:
    async def run() -> Tally:
        pictures, tally = read_folder(images), Tally()
        where = Service.at(service.url)
        pool, encode = ConnectionPool(where), encoder(where, pictures)
        times, order = arrivals(rate, seconds, 0, seed), pictures.order(seed)
        await open_loop(pool, encode, order, times, tally.add, asyncio.Event())
        pool.close()
        return tally

    return asyncio.run(run())


def slow(tally: Tally) -> int:
    """Requests that waited for most of the stall."""
    buckets = tally.histogram.buckets().buckets
    return sum(count for bound_us, count in buckets if bound_us > 0.6 * STALL_S * 1e6)


def test_an_open_loop_shows_a_stall_that_a_closed_loop_hides(images: Path) -> None:
    """The service stalls once, for 2 s of 8 s; requests scheduled within the stall wait."""

    def measured(run: Callable[[LoadTarget], Tally]) -> Tally:
        with LoadTarget(takes_s=0.005) as service, ThreadPoolExecutor() as thread:
            stall = thread.submit(stall_once, service, 100)
            tally = run(service)
            stall.result()
            return tally

    with ThreadPoolExecutor() as both:
        runs = (lambda s: opened(s, images, 50, 8), lambda s: closed(s, images, 8))
        tallies = list(both.map(measured, runs))
    open_ms, closed_ms = (t.histogram.latency().model_dump() for t in tallies)
    for latency_ms in (open_ms, closed_ms):
        assert latency_ms["max"] is not None
        assert latency_ms["max"] >= 0.9 * STALL_S * 1e3
    # A quarter of the requests were scheduled within the stall: a tenth of all waited for 1.2 s
    # and more, and a hundredth for nearly all of it.
    assert open_ms["p99"] is not None
    assert open_ms["p99"] >= 0.8 * STALL_S * 1e3
    assert open_ms["p90"] is not None
    assert open_ms["p90"] >= 0.3 * STALL_S * 1e3
    assert slow(tallies[0]) >= 20
    # In the closed loop two requests waited, and no others were sent meanwhile.
    assert slow(tallies[1]) <= 2
    if tallies[1].images > 300:  # as many as that also on a machine that is not busy
        assert closed_ms["p99"] is not None
        assert closed_ms["p99"] < 0.3 * STALL_S * 1e3
    for tally in tallies:
        assert not tally.errors
        assert tally.histogram.count == tally.images


def test_the_same_seed_is_the_same_pictures_at_the_same_times(images: Path) -> None:
    sent = []
    for seed in (3, 3, 4):
        with LoadTarget() as service:
            tally = opened(service, images, 30, 1, seed)
            assert tally.images == len(service.received) == len(list(arrivals(30, 1, 0, seed)))
            sent.append(service.received)
    assert sorted(sent[0]) == sorted(sent[1])
    assert sorted(sent[0]) != sorted(sent[2])
    pictures = read_folder(images)
    order = pictures.order(3)
    assert sorted(sent[0]) == sorted(pictures.read(next(order)) for _ in sent[0])
