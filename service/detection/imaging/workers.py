"""Threads that decode, draw and encode, and a limit on the memory of all pictures they work on."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from ...core.errors import DeadlineExceeded, TooLarge

Done = TypeVar("Done")


class PixelWorkers:
    """`async with workers.reserve(bytes, deadline) as memory: await memory.run(work, ...)`"""

    def __init__(self, limit: int, threads: int) -> None:
        self.limit = limit
        self.free = limit
        self._executor = ThreadPoolExecutor(threads, "pixels")
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserve(self, count: int, deadline: float) -> AsyncIterator["Memory"]:
        """`count` bytes as soon as they are free, first come, first served. Raises TooLarge for
        more than there are at all, DeadlineExceeded at `deadline` (`time.perf_counter()`)."""
        if count > self.limit:
            raise TooLarge(
                f"Decoding this picture takes {count} bytes of memory; the limit is {self.limit}."
                " Send it smaller, or as a baseline JPEG that is stored upright."
            )
        memory = Memory(self, deadline)
        await memory.before_deadline(self._acquire(count))
        memory.held = count
        try:
            yield memory
        finally:
            memory.close()

    async def _acquire(self, count: int) -> None:
        if not self._waiting and count <= self.free:
            self.free -= count
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self.release(0 if turn.cancelled() else count)  # in either case the next may fit
            raise

    def release(self, count: int) -> None:
        self.free += count
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif wanted <= self.free:
                self._waiting.popleft()
                self.free -= wanted
                turn.set_result(None)
            else:
                return

    def submit(self, work: Callable[..., Done], *arguments: Any) -> Future[Done]:
        return self._executor.submit(work, *arguments)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Memory:
    """One picture's reservation. It outlasts its request while a thread still works on it."""

    def __init__(self, workers: PixelWorkers, deadline: float) -> None:
        self.held = 0
        self._workers = workers
        self._deadline = deadline
        self._running: Future[Any] | None = None

    async def run(self, work: Callable[..., Done], *arguments: Any) -> Done:
        """`work` in a thread. What has not begun at the deadline never will."""
        future = self._workers.submit(work, *arguments)
        self._running = future
        return await self.before_deadline(asyncio.wrap_future(future))

    def keep(self, count: int) -> None:
        """Holds `count` bytes from now on: those of the work's result."""
        self._workers.release(self.held - count)
        self.held = count

    async def before_deadline(self, waiting: Awaitable[Done]) -> Done:
        try:
            async with asyncio.timeout(self._deadline - time.perf_counter()):
                return await waiting
        except TimeoutError as error:
            raise DeadlineExceeded("The picture was not decoded or encoded in time.") from error

    def close(self) -> None:
        if self._running is None or self._running.done():
            self._workers.release(self.held)
        else:
            loop = asyncio.get_running_loop()
            self._running.add_done_callback(partial(self._close_later, loop))

    def _close_later(self, loop: asyncio.AbstractEventLoop, _: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the gateway has stopped
            loop.call_soon_threadsafe(self._workers.release, self.held)
