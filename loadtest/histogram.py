"""Latencies in log-spaced buckets: a run of any length in a few kilobytes, true to 1 %."""

import math
from collections import Counter
from typing import Any

STEP = 1.01  # a bucket's upper bound to its lower one
_LOG_STEP = math.log(STEP)


class Histogram:
    """Counts of latencies. Maximum and mean are exact; a percentile is its bucket's upper bound."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._sum_s = 0.0
        self._max_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[max(0, math.ceil(math.log(max(seconds * 1e6, 1.0)) / _LOG_STEP))] += 1
        self._sum_s += seconds
        self._max_s = max(self._max_s, seconds)

    @property
    def count(self) -> int:
        return self._counts.total()

    def percentile_ms(self, share: float) -> float | None:
        """The least latency that at least `share` of all do not exceed, at most 1 % too high.

        Nearest rank, as numpy's `inverted_cdf`. None where there is no latency.
        """
        rank = max(1, math.ceil(share * self.count - 1e-9))
        for index, count in sorted(self._counts.items()):
            rank -= count
            if rank <= 0:
                return round(min(STEP**index / 1e3, self._max_s * 1e3), 4)
        return None

    def latency_ms(self, *shares: str) -> dict[str, float | None]:
        """`latency_ms("p50", "p999", "max")`: these, and `mean`, by name."""
        found = {}
        for name in shares:
            if name == "max":
                value = self._max_s * 1e3 if self.count else None
            elif name == "mean":
                value = self._sum_s * 1e3 / self.count if self.count else None
            else:
                value = self.percentile_ms(float(f"0.{name[1:]}"))
            found[name] = None if value is None else round(value, 4)
        return found

    def as_json(self) -> dict[str, Any]:
        buckets = [[round(STEP**i, 3), count] for i, count in sorted(self._counts.items())]
        return {"unit": "us", "buckets": buckets}
