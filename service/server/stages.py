"""What a connection is doing, and how long the client may keep it waiting in each stage."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto


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
        self._handle: asyncio.TimerHandle | None = None

    def enter(self, stage: Stage) -> None:
        if stage is self._stage:
            return
        self._stage = stage
        if self._handle is not None:
            self._handle.cancel()
        limit = self.limits.get(stage)
        self._handle = self._loop.call_later(*limit) if limit else None
