"""How many pictures may be at the backend, and how many may wait for a place there."""

import asyncio
from types import TracebackType

from prometheus_client import Gauge

from .errors import DeadlineExceeded, Full


class Admission:
    """`async with admission.place(budget_s)`: a place at the backend, or Full, or DeadlineExceeded.

    A bounded queue and not an endless one: a caller who has waited past its patience has left, and
    working for it only makes the next one late too.
    """

    def __init__(self, max_in_flight: int, max_queue: int, in_flight: Gauge, queued: Gauge) -> None:
        self._free = asyncio.Semaphore(max_in_flight)
        self._max_in_flight = max_in_flight
        self._max_queue = max_queue
        self._waiting = 0
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
        self._in_flight.inc()

    async def _wait(self, budget_s: float) -> None:
        if self._waiting >= self._max_queue:
            raise Full(
                f"{self._max_in_flight} pictures are being worked on and {self._waiting} are"
                " waiting; try again shortly."
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

    def leave(self) -> None:
        self._in_flight.dec()
        self._free.release()


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
        self._admission.leave()
