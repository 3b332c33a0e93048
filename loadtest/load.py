"""Closed and open loops of requests, their schedule, and the search for the highest rate."""

import asyncio
import math
import random
import re
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress

from . import CommandError
from .client import (
    INTERRUPTED,
    REJECTED,
    UNEXPECTED,
    UNREACHABLE,
    Answer,
    Broken,
    Connection,
    Model,
    Outcome,
    Service,
    Unreachable,
    ask,
)

HEALTH_CHECK_INTERVAL_S = 0.2
HEALTH_CHECK_TIMEOUT_S = 5
BACKOFF_S = 0.2  # after a failed request
MAX_CONNECTIONS = 512  # of an open loop; waiting for a free one counts as latency
MAX_SLEEP_S = 0.2  # longer waits can be interrupted, which costs a little
RATE_PRECISION = 1.05  # the search ends at this ratio of the rate that fails to the one that passes
LOWEST_RATE = 1 / 64  # of the first rate; below it the limit itself is out of reach

Request = tuple[bytes, list[int]]  # the bytes to send, and the numbers of the pictures in them


async def identify(service: Service, requests: Iterable[tuple[bytes, list[int]]]) -> Model:
    """Send requests until a picture is accepted; the model that answered. Also the warm-up."""
    url, kind, detail = service.url, "", ""
    with closing(Connection(service)) as connection:
        for request, pictures in requests:
            outcome = await ask(connection, request, pictures)
            for answer in outcome.answers:
                if isinstance(answer, Answer):
                    return answer.model
            kind, detail = str(outcome.answers[0]), outcome.detail or "no reason given"
            if not (kind.isdigit() and int(kind) in REJECTED):
                break
        else:
            raise CommandError(f"{url} rejected every picture, the last one with {kind}: {detail}")
    raise failure(url, kind, detail)


def failure(url: str, kind: str, detail: str) -> CommandError:
    """The sentence for a request that failed for another reason than its picture."""
    if kind == UNREACHABLE:
        return CommandError(f"{url} cannot be reached: {detail}; is the service running?")
    if kind == UNEXPECTED:
        return CommandError(f"{url} returned 200 without detections ({detail}); is it the service?")
    if kind in ("401", "403"):
        return CommandError(f"{url} returned {kind}: {detail} (--key, or DETECT_API_KEY)")
    if re.fullmatch("[1-4]..", kind):
        return CommandError(f"{url} returned {kind}: {detail}; is it the detection service?")
    return CommandError(f"{url} does not return detections ({kind}): {detail}")


class Availability:
    """Whether the service is available; callers wait while it is not.

    `GET /readyz` decides: unavailable is a service that cannot be reached or returns 5xx there.
    `restarts` counts how often it came back; `patience_s` limits how long it may stay away.
    """

    def __init__(self, service: Service, stop: asyncio.Event, patience_s: float) -> None:
        self.restarts = 0
        self.gave_up = False
        self._service = service
        self._stop = stop
        self._patience_s = patience_s
        self._lock = asyncio.Lock()

    async def ready(self) -> bool:
        with closing(Connection(self._service)) as connection:
            try:
                request = self._service.request("GET /readyz")
                return (await connection.exchange(request, HEALTH_CHECK_TIMEOUT_S)).status < 500
            except (Unreachable, Broken, TimeoutError):
                return False

    async def after_failure(self) -> None:
        """Return once the service is available again, or has been away for too long."""
        async with self._lock:
            if self.gave_up or await self.ready():
                return
            since = time.monotonic()
            print("the service is unavailable; waiting for it", file=sys.stderr)
            while not self._stop.is_set():
                if time.monotonic() - since > self._patience_s:
                    self.gave_up = True
                    return
                await asyncio.sleep(HEALTH_CHECK_INTERVAL_S)
                if await self.ready():
                    self.restarts += 1
                    away_s = time.monotonic() - since
                    print(f"the service is available again after {away_s:.1f} s", file=sys.stderr)
                    return


async def closed_loop(
    service: Service,
    requests: Iterator[Request],
    callers: int,
    on_outcome: Callable[[Outcome], None],
    availability: Availability,
    stop: asyncio.Event,
    seconds: float = math.inf,
) -> None:
    """Closed loop: each caller sends its next request once the previous one is answered.

    This measures the highest throughput. It hides stalls (coordinated omission), because a stalled
    service is sent fewer requests: latencies need the open loop. Returns when every request has
    its outcome; raises the CommandError of a picture that cannot be read.
    """
    until = time.perf_counter() + seconds
    errors: list[CommandError] = []

    async def caller() -> None:
        with closing(Connection(service)) as connection:
            while not (stop.is_set() or availability.gave_up or time.perf_counter() >= until):
                try:
                    request = next(requests, None)
                except CommandError as error:
                    errors.append(error)
                    stop.set()
                    return
                if request is None:
                    return
                outcome = Outcome(request[1], [INTERRUPTED] * len(request[1]), None)
                try:
                    outcome = await ask(connection, *request)
                finally:
                    on_outcome(outcome)
                if outcome.service_failed:
                    await availability.after_failure()
                if outcome.latency_s is None:
                    await asyncio.sleep(BACKOFF_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    if errors:
        raise errors[0]


class ConnectionPool:
    """Up to `size` connections, opened as needed; the most recently used is used first."""

    def __init__(self, service: Service, size: int = MAX_CONNECTIONS) -> None:
        self._service = service
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        async with self._slots:
            connection = self._idle.pop() if self._idle else Connection(self._service)
            try:
                yield connection
            finally:
                self._idle.append(connection)


async def open_loop(
    pool: ConnectionPool,
    encode: Callable[[int], Request],
    numbers: Iterator[int],
    schedule: Iterable[float],
    on_outcome: Callable[[Outcome], None],
    stop: asyncio.Event,
) -> list[float]:
    """Send one picture per request when the schedule says, whether or not others are answered.

    Latency counts from the scheduled time, so a stall is seen by every request scheduled meanwhile
    (no coordinated omission), and so is a client that falls behind: by how much each request was
    late, in seconds, is returned. `encode` is called late, since requests waiting for a connection
    may be many. Returns and raises as `closed_loop` does.
    """
    late: list[float] = []
    errors: list[CommandError] = []
    started = time.perf_counter()

    async def send(number: int, scheduled: float) -> None:
        outcome = Outcome([number], [INTERRUPTED], None)
        try:
            async with pool.connection() as connection:
                outcome = await ask(connection, *encode(number), scheduled)
        except CommandError as error:
            errors.append(error)
            stop.set()
        finally:
            on_outcome(outcome)

    async with asyncio.TaskGroup() as group:
        for at in schedule:
            await _sleep_until(started + at, stop)
            if stop.is_set():
                break
            late.append(max(0.0, time.perf_counter() - started - at))
            group.create_task(send(next(numbers), started + at))
    if errors:
        raise errors[0]
    return late


async def _sleep_until(due: float, stop: asyncio.Event) -> None:
    left = due - time.perf_counter()
    if left < MAX_SLEEP_S:
        await asyncio.sleep(max(0.0, left))  # when behind, responses must still be read
    else:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), left)


def arrivals(rate: float, seconds: float, at_least: int, seed: int) -> Iterator[float]:
    """Arrival times of a Poisson process, in seconds from the start; the seed decides them.

    Ends when both `seconds` and `at_least` arrivals are reached. Another rate only scales them.
    """
    gaps = random.Random(f"arrivals {seed}")
    at, count = gaps.expovariate(1.0) / rate, 0
    while at < seconds or count < at_least:
        yield at
        count += 1
        at += gaps.expovariate(1.0) / rate


async def highest_rate(first: float, passes: Callable[[float], Awaitable[bool]]) -> float | None:
    """The highest rate that passes, by doubling, halving and bisection; None if no rate does."""
    low = high = None
    rate = first
    while True:
        if await passes(rate):
            low = rate
        else:
            high = rate
        if low is None:
            rate /= 2
            if rate < first * LOWEST_RATE:
                return None
        elif high is None:
            rate *= 2
        elif high / low <= RATE_PRECISION:
            return low
        else:
            rate = math.sqrt(low * high)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values) - 1e-9), 1) - 1]
