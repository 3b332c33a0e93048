"""How many pictures may be at the backend, and how many may wait for a place there.

A bounded queue and not an endless one: a caller who has waited past its patience has left, and
working for it only makes the next one late too. And a queue bounded in time, not only in number:
64 waiting are nothing for a GPU and ten seconds for two cores. How long a newcomer will take
follows from how many are before it and how often one of them leaves; one that cannot be answered
within its budget is refused at once, with the time after which it is worth another try.
"""

import asyncio
import math
import time
from collections.abc import Callable
from types import TracebackType

from prometheus_client import Gauge

from ..errors import DeadlineExceeded, Full

MEMORY = 0.05  # how much of the estimate each picture renews: it follows the last twenty or forty
# Under a lasting overload every newcomer is let in just at the limit, so what is only an average
# must leave room: who comes too late has been worked for in vain.
ROOM = 1.25


class Admission:
    """`async with admission.place(budget_s)`: a place at the backend, or Full, or DeadlineExceeded.

    `max_in_flight` pictures have one at a time, and at most `max_queue` wait for theirs.
    """

    def __init__(
        self,
        max_in_flight: int,
        max_queue: int,
        in_flight: Gauge,
        queued: Gauge,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._free = asyncio.Semaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._max_queue = max_queue
        self._taken = 0
        self._waiting = 0
        self._pace = Pace(clock)
        self._in_flight = in_flight
        self._queued = queued

    def place(self, budget_s: float) -> "_Place":
        return _Place(self, budget_s)

    async def enter(self, budget_s: float) -> None:
        if budget_s <= 0:
            raise DeadlineExceeded("No time was left to ask the model server.")
        if self._free.locked():
            await self._wait(budget_s)
        else:
            await self._free.acquire()
        if not self._taken:
            self._pace.start()
        self._taken += 1
        self._in_flight.inc()

    async def _wait(self, budget_s: float) -> None:
        pace_s = self._pace.seconds()
        wait_s = (self._waiting + 1) * pace_s
        held_s = self._max_in_flight * pace_s
        if self._waiting >= self._max_queue or ROOM * (wait_s + held_s) > budget_s:
            raise Full(
                f"{self._max_in_flight} pictures are being worked on and {self._waiting} are"
                f" waiting, about {wait_s:.1f} s of work; try again after Retry-After.",
                retry_after_s=max(1, math.ceil(wait_s)),
            )
        self._waiting += 1
        self._queued.inc()
        try:
            await asyncio.wait_for(self._free.acquire(), budget_s)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Waited {budget_s:.1f} s for a place at the model server."
            ) from error
        finally:
            self._waiting -= 1
            self._queued.dec()

    def leave(self, done: bool = True) -> None:
        """`done`: not given up. Of what is, nobody knows how long it would have taken."""
        self._taken -= 1
        if done:
            self._pace.count(self._taken)
        self._in_flight.dec()
        self._free.release()


class Pace:
    """How often a picture leaves while there is work. It is much the same whether one or all places
    are taken, at least where the backend's cores are what is short, and so it is known
    before the first rush, when how long a place is held is not."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._average_s = 0.0
        self._counted = 0
        self._since = clock()

    def start(self) -> None:
        """There is work again."""
        self._since = self._clock()

    def count(self, others: int) -> None:
        """One leaves, and `others` are still being worked on. Of the very first, those that ran
        beside it are as good as done."""
        self._counted += 1
        self._average_s = self._renewed(max(MEMORY, 1 / (self._counted + others)))
        self._since = self._clock()

    def seconds(self) -> float:
        """From one to the next. A backend that has stopped is slow before anything leaves it."""
        return max(self._average_s, self._renewed(MEMORY))

    def _renewed(self, share: float) -> float:
        return self._average_s + share * (self._clock() - self._since - self._average_s)


class _Place:
    """Entered and left by one picture; left whatever happens in between."""

    __slots__ = ("_admission", "_budget_s")

    def __init__(self, admission: Admission, budget_s: float) -> None:
        self._admission = admission
        self._budget_s = budget_s

    async def __aenter__(self) -> None:
        await self._admission.enter(self._budget_s)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        given_up = kind is not None and issubclass(kind, asyncio.CancelledError | DeadlineExceeded)
        self._admission.leave(done=not given_up)
