"""What a run saw, as a whole and in windows of equal length."""

import time
from collections import Counter
from typing import Any

from .histogram import Histogram
from .host import HostReadings
from .replies import Outcome


class Tally:
    """A latency is a request's; images and errors are pictures, and together all that were sent.

    Only a request answered with 200 has a latency.
    """

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.images = 0
        self.errors: Counter[str] = Counter()
        self.histogram = Histogram()

    @property
    def sent(self) -> int:
        return self.images + self.errors.total()

    def add(self, outcome: Outcome) -> None:
        for reply in outcome.replies:
            if isinstance(reply, str):
                self.errors[reply] += 1
            else:
                self.images += 1
        if outcome.latency_s is not None:
            self.histogram.add(outcome.latency_s)


class Windows:
    """`closed`: windows as the run's file has them. A window has what was answered within it."""

    def __init__(self, readings: HostReadings) -> None:
        self.overall = Tally()
        self.closed: list[dict[str, Any]] = []
        self._current = Tally()
        self._readings = readings

    def add(self, outcome: Outcome) -> None:
        self.overall.add(outcome)
        self._current.add(outcome)

    def turn(self) -> dict[str, Any]:
        """Close the window, and open the next; the host's readings are still to come."""
        tally, self._current = self._current, Tally()
        window = self.of(tally, self._current.started)
        self.closed.append(window)
        return window

    def of(self, tally: Tally, until: float) -> dict[str, Any]:
        seconds = until - tally.started
        return {
            "start_s": round(tally.started - self.overall.started, 3),
            "seconds": round(seconds, 3),
            "images": tally.images,
            "images_per_s": per_s(tally.images, seconds),
            "latency_ms": tally.histogram.latency_ms("p50", "p90", "p99", "max"),
            "errors": dict(tally.errors),
            **dict.fromkeys(
                ("host_cpu_percent", "host_memory_mb", "temperature_c", "frequency_mhz")
            ),
        }

    def read_host(self, window: dict[str, Any]) -> None:
        """It may take a moment (nvidia-smi): for a thread."""
        window |= self._readings.read()


def summary(
    tally: Tally, seconds: float, variation_percent: float | None, restarts: int
) -> dict[str, Any]:
    return {
        "images": tally.images,
        "seconds": round(seconds, 3),
        "images_per_s": per_s(tally.images, seconds),
        "latency_ms": tally.histogram.latency_ms("mean", "p50", "p90", "p99", "p999", "max"),
        "variation_percent": variation_percent,
        "errors": dict(tally.errors),
        "restarts_seen": restarts,
    }


def variation_percent(windows: list[dict[str, Any]], window_s: float) -> float | None:
    """The best window's images per second less the worst one's, in per cent of their mean.

    Of whole windows only, outages included; None where there are not two.
    """
    rates = [w["images_per_s"] for w in windows if w["seconds"] >= 0.99 * window_s]
    mean = sum(rates) / len(rates) if rates else 0.0
    return round(100 * (max(rates) - min(rates)) / mean, 2) if len(rates) > 1 and mean else None


def per_s(count: int, seconds: float) -> float:
    return round(count / seconds, 4) if seconds > 0 else 0.0
