"""What a connection is doing, and how long the client may keep it waiting in each stage."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from math import inf


class Stage(Enum):
    IDLE = auto()  # between requests
    HEAD = auto()
    BODY = auto()
    RESPONSE = auto()  # the whole request has arrived
    DISCARD = auto()  # nothing that arrives is read any more


class StageTimer:
    """`limits`: seconds from entering a stage, and what is called then; the others have none."""

    def __init__(self, limits: dict[Stage, tuple[float, Callable[[], None]]]) -> None:
        self.limits = limits
        self._loop = asyncio.get_running_loop()
        self._stage: Stage | None = None
        self._ends = inf
        self._handle: asyncio.TimerHandle | None = None

    def enter(self, stage: Stage) -> None:
        if stage is self._stage:
            return
        self._stage = stage
        self._ends = self._loop.time() + self.limits[stage][0] if stage in self.limits else inf
        # A timer for an earlier stage may stay and fire too early: it is cheaper than a new one.
        late = self._handle is None or self._handle.when() > self._ends
        if late or stage is Stage.DISCARD:
            self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(self._ends, self._fire) if self._ends < inf else None

    def _fire(self) -> None:
        self._handle = None
        if self._stage is None or self._loop.time() < self._ends:
            self._arm()
        else:
            self.limits[self._stage][1]()
