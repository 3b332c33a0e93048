"""A model server in simulated time."""

import asyncio
import random


class SharedProcessor:
    """Shares its cores among all calls, as threads do; a call takes about `work_s` on one core. It
    ends with its deadline, as in TensorFlow Serving."""

    def __init__(self, work_s: float, chance: random.Random, cores: int = 1) -> None:
        self.work_s = work_s
        self._chance = chance
        self._cores = cores
        self._left: dict[asyncio.Event, float] = {}

    async def serve(self, step_s: float) -> None:
        while True:
            await asyncio.sleep(step_s)
            share_s = step_s * min(1.0, self._cores / max(1, len(self._left)))
            for done in list(self._left):
                self._left[done] -= share_s
                if self._left[done] <= 0:
                    done.set()

    async def call(self) -> None:
        done = asyncio.Event()
        self._left[done] = self.work_s * self._chance.uniform(0.7, 1.3)
        try:
            await done.wait()
        finally:
            del self._left[done]
