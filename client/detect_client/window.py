"""A sliding window: work on several entries at once, with the results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


async def ordered(
    entries: Iterable[In], work: Callable[[In], Awaitable[Out]], window: int
) -> AsyncGenerator[Out, None]:
    """`work` of each entry in order, with at most `window` of them begun and not yet taken."""
    pending: deque[asyncio.Future[Out]] = deque()
    try:
        for entry in entries:
            pending.append(asyncio.ensure_future(work(entry)))
            if len(pending) >= window:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
