"""A closed loop: each caller sends its next batch when the one before is answered.

It finds what a service can do at most. What a caller who does not wait sees of a slow moment it
cannot tell, for then it sends less: that is the open loop's.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from .availability import Availability
from .connection import Address, Connection
from .picture_folder import Pictures
from .replies import INTERRUPTED, Outcome, ask
from .stopped import Stopped

PAUSE_S = 0.2  # after a failure that is no picture's


class ClosedLoop:
    """`outcome` is called with every request's, in the order of the answers.

    `seconds`: when to send no more, besides the end of `batches`.
    """

    def __init__(
        self,
        address: Address,
        pictures: Pictures,
        batches: Iterator[list[int]],
        availability: Availability,
        outcome: Callable[[Outcome], None],
        query: str = "",
    ) -> None:
        self._address = address
        self._pictures = pictures
        self._batches = batches
        self._availability = availability
        self._outcome = outcome
        self._query = query

    def request(self, batch: list[int]) -> tuple[bytes, list[int]]:
        data = [self._pictures.data(number) for number in batch]
        return self._address.detect_batch(data, self._query), batch

    async def run(self, callers: int, stop: asyncio.Event, seconds: float = float("inf")) -> None:
        """Returns when every request has its outcome. Raises what stopped any caller."""
        until = time.perf_counter() + seconds
        self._stopped: Stopped | None = None
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._caller(stop, until))
        if self._stopped:
            raise self._stopped

    async def _caller(self, stop: asyncio.Event, until: float) -> None:
        with closing(Connection(self._address)) as connection:
            while not stop.is_set() and time.perf_counter() < until:
                batch = next(self._batches, None)
                if batch is None or self._availability.gave_up:
                    return
                try:
                    outcome = await ask(connection, *self.request(batch))
                except asyncio.CancelledError:
                    self._outcome(Outcome(batch, [INTERRUPTED] * len(batch), None))
                    raise
                except Stopped as error:  # a picture cannot be read any more
                    self._stopped = error
                    stop.set()
                    return
                self._outcome(outcome)
                if outcome.service_failed:
                    await self._availability.after_failure()
                if outcome.latency_s is None:
                    await asyncio.sleep(PAUSE_S)
