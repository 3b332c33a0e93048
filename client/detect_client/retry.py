"""When to try again: what the service suggests in Retry-After, within one overall deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from .errors import ConnectionFailed, DeadlineExceeded, DetectError, Unavailable

FIRST_PAUSE_S = 0.1  # after a lost connection; doubled each time
LONGEST_PAUSE_S = 5.0


class Attempts:
    """The attempts of one call. Detection changes nothing, so repeating it is always safe."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._timeout_s = timeout_s
        self._pause_s = FIRST_PAUSE_S

    def remaining_s(self) -> float:
        """Seconds left for the next attempt. Raises DeadlineExceeded where there are none."""
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise DeadlineExceeded(f"No answer within {self._timeout_s:g} seconds.")
        return remaining

    def pause_s(self, error: DetectError) -> float:
        """Seconds to wait before the next attempt; raises `error` if there must not be one.

        Spread by up to a quarter, so that callers who were refused together do not return together.
        """
        if not isinstance(error, Unavailable | ConnectionFailed):
            raise error
        pause = error.retry_after_s
        if pause is None:
            pause, self._pause_s = self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        pause *= random.uniform(1.0, 1.25)
        if self._clock() + pause >= self._deadline:
            raise error
        return pause
