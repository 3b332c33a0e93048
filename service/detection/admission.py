"""Admission control: how many pictures are at the model server, and how many wait for a slot there.

The queue is limited in number and in time, because a caller that has waited past its deadline has
left, and work for it only makes the next one late. What cannot be answered in time is rejected
immediately, with the time after which it is worth another try.
"""

import asyncio
import math
import time
from collections.abc import Callable

from prometheus_client import Gauge

from ..core.errors import DeadlineExceeded, Full
from .throughput import ThroughputEstimator

# Under lasting overload every picture is admitted just at the limit, so an estimate that is right
# on average needs room: a late answer is wasted work.
SAFETY_MARGIN = 1.25


class Admission:
    """At most `max_in_flight` pictures have a slot, and at most `max_queue` wait for one.

    `deadline_s`: of callers that ask for no shorter one. Those that do are no measure of the model
    server.
    """

    def __init__(
        self,
        max_in_flight: int,
        max_queue: int,
        deadline_s: float,
        in_flight: Gauge,
        queued: Gauge,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._slots = asyncio.Semaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._max_queue = max_queue
        self.deadline_s = deadline_s
        self.taken = 0
        self._waiting = 0
        self.clock = clock
        self.throughput = ThroughputEstimator(clock)
        in_flight.set_function(lambda: self.taken)
        queued.set_function(lambda: self._waiting)

    @property
    def saturated(self) -> bool:
        """Whether all slots are taken."""
        return self._slots.locked()

    def check(self, budget_s: float) -> None:
        """Raises Full or DeadlineExceeded where a picture that came now would not be answered
        within `budget_s` seconds."""
        if budget_s <= 0:
            raise DeadlineExceeded("No time was left to ask the model server.")
        full = self._slots.locked()
        # What single pictures show says nothing of how many a model server processes at once, so
        # free slots are used until that has made one late, and then again after a while.
        if not full and not (self.taken and self.throughput.fell_behind):
            return
        interval_s = self.throughput.interval_s()
        late = SAFETY_MARGIN * (self.taken + self._waiting + 1) * interval_s > budget_s
        if late or (full and self._waiting >= self._max_queue):
            wait_s = (self._waiting + 1) * interval_s
            raise Full(
                f"{self.taken} pictures are being processed and {self._waiting} are waiting,"
                f" about {wait_s:.1f} s more; try again after Retry-After.",
                retry_after_s=max(1, math.ceil(wait_s)),
            )

    def slot(self, budget_s: float) -> "Slot":
        """Entering it raises as `acquire`."""
        return Slot(self, budget_s)

    async def acquire(self, budget_s: float) -> None:
        """A slot at the model server. Raises as `check`, and DeadlineExceeded after the wait."""
        self.check(budget_s)
        if self._slots.locked():
            await self._wait(budget_s)
        else:
            await self._slots.acquire()
        if not self.taken:
            self.throughput.resume()
        self.taken += 1

    async def _wait(self, budget_s: float) -> None:
        deadline = self.clock() + budget_s
        self._waiting += 1
        try:
            await asyncio.wait_for(self._slots.acquire(), budget_s)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Waited {budget_s:.1f} s for a slot at the model server."
            ) from error
        finally:
            self._waiting -= 1
        in_slot_s = self._max_in_flight * self.throughput.interval_s()
        if self.clock() + SAFETY_MARGIN * in_slot_s > deadline:
            self._slots.release()
            raise Full(
                "The model server became slower while this picture waited, and would answer too"
                " late; try again after Retry-After.",
                retry_after_s=max(1, math.ceil(in_slot_s)),
            )

    def release(self, abandoned: bool = False) -> None:
        """Abandoned work is excluded from the estimate: how long it would have taken is unknown."""
        self.taken -= 1
        if not abandoned:
            self.throughput.complete(self.taken)
        self._slots.release()


class Slot:
    """For an `async with` block, in half the time of a generator."""

    def __init__(self, admission: Admission, budget_s: float) -> None:
        self._admission = admission
        self._budget_s = budget_s

    async def __aenter__(self) -> None:
        self._late_at = self._admission.clock() + self._budget_s / SAFETY_MARGIN
        await self._admission.acquire(self._budget_s)
        self._started, self._in_flight = self._admission.clock(), self._admission.taken

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        admission = self._admission
        abandoned = kind is not None and issubclass(kind, asyncio.CancelledError | DeadlineExceeded)
        now, in_flight = admission.clock(), max(self._in_flight, admission.taken)
        patient = 2 * self._budget_s >= admission.deadline_s
        # A picture that was late by itself says nothing of how many there may be at a time.
        if abandoned and patient and now >= self._late_at and in_flight > 1:
            admission.throughput.expire(now - self._started, in_flight)
        admission.release(abandoned)
