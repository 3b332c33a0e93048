"""An open loop: requests leave when the schedule says, whatever became of those before.

A latency counts from the scheduled instant, so a service that stalls is seen by all who would have
come meanwhile (no coordinated omission), and so is a client that falls behind.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

from .connection import Address, Connection
from .histogram import Histogram
from .picture_folder import Pictures
from .replies import INTERRUPTED, Outcome, ask
from .stopped import Stopped

MOST_OPEN = 512  # connections; who finds none waits for one, and the waiting is latency
SLEEP_S = 0.2  # a longer wait can be interrupted, which costs a little


class ConnectionPool:
    """Connections as they are needed, `most` at the same time; the last one used is used next."""

    def __init__(self, address: Address, most: int = MOST_OPEN) -> None:
        self._address = address
        self._places = asyncio.Semaphore(most)
        self._idle: list[Connection] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        async with self._places:
            one = self._idle.pop() if self._idle else Connection(self._address)
            try:
                yield one
            finally:
                self._idle.append(one)


class OpenLoop:
    """One picture a request, to `POST /detect`. `lag`: how late requests were sent, by us."""

    def __init__(self, address: Address, pictures: Pictures) -> None:
        self._address = address
        self._pictures = pictures
        self._pool = ConnectionPool(address)

    def close(self) -> None:
        self._pool.close()

    def request(self, number: int) -> tuple[bytes, list[int]]:
        return self._address.detect(self._pictures.data(number)), [number]

    async def run(
        self,
        arrivals: Iterable[float],
        order: Iterator[int],
        stop: asyncio.Event,
        outcome: Callable[[Outcome], None],
    ) -> None:
        """Returns when every request that was sent has its outcome. Raises what stopped any."""
        self.lag = Histogram()
        started = time.perf_counter()
        self._stopped: Stopped | None = None
        async with asyncio.TaskGroup() as group:
            for at in arrivals:
                await self._until(started + at, stop)
                if stop.is_set():
                    break
                self.lag.add(max(0.0, time.perf_counter() - started - at))
                group.create_task(self._one(next(order), started + at, stop, outcome))
        if self._stopped:
            raise self._stopped

    async def _until(self, due: float, stop: asyncio.Event) -> None:
        left = due - time.perf_counter()
        if left < SLEEP_S:
            # 0 too: who is behind must not keep the answers waiting as well
            await asyncio.sleep(max(0.0, left))
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), left)

    async def _one(
        self,
        number: int,
        scheduled: float,
        stop: asyncio.Event,
        outcome: Callable[[Outcome], None],
    ) -> None:
        try:
            async with self._pool.connection() as connection:
                found = await ask(connection, *self.request(number), scheduled)
        except asyncio.CancelledError:
            outcome(Outcome([number], [INTERRUPTED], None))
            raise
        except Stopped as error:  # a picture cannot be read any more
            self._stopped = error
            stop.set()
            return
        outcome(found)
