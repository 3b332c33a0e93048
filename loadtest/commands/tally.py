"""Counts of a run: latencies, images and errors, as a whole and in windows of equal length."""

import math
import time
from collections import Counter
from collections.abc import Sequence

from .. import host
from ..client import Outcome
from ..run import Buckets, Latency, Summary, Window, WindowLatency
from ..yardstick import Yardstick

BUCKET_RATIO = 1.01  # a bucket's upper bound to its lower one
_LOG_RATIO = math.log(BUCKET_RATIO)


class Histogram:
    """Latencies in log-spaced buckets: a few kilobytes for a run of any length, exact to 1 %.

    Maximum and mean are exact; a percentile is its bucket's upper bound. Values may be infinite.
    """

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()  # by the logarithm of the bucket's upper bound
        self._sum_s = 0.0
        self._max_s = 0.0

    def add(self, seconds: float) -> None:
        if seconds == math.inf:
            self._counts[math.inf] += 1
        else:
            self._counts[max(0, math.ceil(math.log(max(seconds * 1e6, 1.0)) / _LOG_RATIO))] += 1
        self._sum_s += seconds
        self._max_s = max(self._max_s, seconds)

    @property
    def count(self) -> int:
        return self._counts.total()

    def percentile_ms(self, share: float) -> float | None:
        """The smallest latency that at least `share` of all do not exceed, at most 1 % too high.

        Nearest rank, like numpy's `inverted_cdf`. None if it is infinite, or without any latencies.
        """
        return self.ranked_ms(math.ceil(share * self.count - 1e-9))

    def ranked_ms(self, rank: int) -> float | None:
        """The latency of a rank, counted from 1 for the smallest."""
        rank = max(1, rank)
        for index, count in sorted(self._counts.items()):
            rank -= count
            if rank <= 0:
                return _finite(min(BUCKET_RATIO**index / 1e3, self._max_s * 1e3))
        return None

    def latency(self) -> Latency:
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
        percentiles = {name: self.percentile_ms(share) for name, share in shares.items()}
        count = self.count
        return Latency(
            mean=_finite(self._sum_s * 1e3 / count) if count else None,
            max=_finite(self._max_s * 1e3) if count else None,
            **percentiles,
        )

    def buckets(self) -> Buckets:
        finite = sorted((i, count) for i, count in self._counts.items() if i < math.inf)
        return Buckets(buckets=[(round(BUCKET_RATIO**i, 3), count) for i, count in finite])


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


class Tally:
    """Latency is per request; images and errors are pictures, and add up to all that were sent.

    Only requests answered with 200 have a latency, unless failures count as infinitely slow.
    """

    def __init__(self, failures_are_infinite: bool = False) -> None:
        self.started = time.perf_counter()
        self.images = 0
        self.errors: Counter[str] = Counter()
        self.histogram = Histogram()
        self._failures_are_infinite = failures_are_infinite

    @property
    def sent(self) -> int:
        return self.images + self.errors.total()

    def add(self, outcome: Outcome) -> None:
        failed = 0
        for answer in outcome.answers:
            if isinstance(answer, str):
                self.errors[answer] += 1
                failed += 1
            else:
                self.images += 1
        if failed and self._failures_are_infinite:
            self.histogram.add(math.inf)
        elif outcome.latency_s is not None:
            self.histogram.add(outcome.latency_s)

    def window(self, run_started: float, until: float) -> Window:
        seconds = until - self.started
        latency = self.histogram.latency().model_dump(include=set(WindowLatency.model_fields))
        return Window(
            start_s=round(self.started - run_started, 3),
            seconds=round(seconds, 3),
            images=self.images,
            images_per_s=per_second(self.images, seconds),
            latency_ms=WindowLatency(**latency),
            errors=dict(self.errors),
        )

    def summary(
        self,
        seconds: float,
        variation_percent: float | None = None,
        restarts: int = 0,
        yardstick_variation_percent: float | None = None,
    ) -> Summary:
        return Summary(
            images=self.images,
            seconds=round(seconds, 3),
            images_per_s=per_second(self.images, seconds),
            latency_ms=self.histogram.latency(),
            variation_percent=variation_percent,
            yardstick_variation_percent=yardstick_variation_percent,
            errors=dict(self.errors),
            restarts_seen=restarts,
        )


class Windows:
    """A run's tally, and the windows closed so far. A window has what was answered within it."""

    def __init__(self) -> None:
        host.readings()  # the first CPU utilization counts from here
        self.overall = Tally()
        self.closed: list[Window] = []
        self._current = Tally()
        self.yardstick = Yardstick()
        self.yardstick.start()

    def add(self, outcome: Outcome) -> None:
        self.overall.add(outcome)
        self._current.add(outcome)

    def turn(self) -> Window:
        """Close the current window and open the next. The host's readings are still missing."""
        tally, self._current = self._current, Tally()
        window = tally.window(self.overall.started, self._current.started)
        window.yardstick_ms = self.yardstick.take_ms()
        self.closed.append(window)
        return window


def read_host(window: Window) -> None:
    """Slow (nvidia-smi): call it in a thread."""
    for name, value in host.readings().items():
        setattr(window, name, value)


def variations_percent(
    windows: Sequence[Window], window_s: float
) -> tuple[float | None, float | None]:
    """(max - min) / mean over whole windows, in percent: of the throughput, outages included, and
    of the yardstick. None with fewer than two whole windows."""
    whole = [window for window in windows if window.seconds >= 0.99 * window_s]
    yardstick = [window.yardstick_ms for window in whole if window.yardstick_ms is not None]
    return _variation([window.images_per_s for window in whole]), _variation(yardstick)


def _variation(values: Sequence[float]) -> float | None:
    mean = sum(values) / len(values) if values else 0.0
    return round(100 * (max(values) - min(values)) / mean, 2) if len(values) > 1 and mean else None


def per_second(count: int, seconds: float) -> float:
    return round(count / seconds, 4) if seconds > 0 else 0.0
