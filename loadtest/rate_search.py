"""The highest rate that passes: between one that passes and one that fails."""

import math
from collections.abc import Awaitable, Callable

CLOSE = 1.05  # the rate that fails to the one that passes
LEAST = 1 / 64  # of the first rate; below it the bound itself is out of reach


async def highest(first: float, passes: Callable[[float], Awaitable[bool]]) -> float | None:
    """None where nothing passes. `passes` is asked for every rate once."""
    low = high = None
    rate = first
    while True:
        if await passes(rate):
            low = rate
        else:
            high = rate
        if low is None:
            rate /= 2
            if rate < first * LEAST:
                return None
        elif high is None:
            rate *= 2
        elif high / low <= CLOSE:
            return low
        else:
            rate = math.sqrt(low * high)
