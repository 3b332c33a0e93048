"""Seconds spent in each part of a request, as `Server-Timing` and the log report them."""

import time

from ..core import tracing

BACKEND = "backend"  # its calls have spans of their own


class Timings(dict[str, float]):
    """Seconds by part, in the order the parts began."""

    def add(self, part: str, seconds: float) -> None:
        self[part] = self.get(part, 0.0) + seconds

    def since(self, started: float, part: str) -> float:
        """Adds the time since `started` to `part`; returns the time now, `time.perf_counter()`."""
        now = time.perf_counter()
        self.add(part, now - started)
        if part != BACKEND:
            tracing.record_part(part, started, now)
        return now
