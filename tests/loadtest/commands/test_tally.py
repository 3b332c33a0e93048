"""Percentiles, histograms and windows of the tally."""

import random
from itertools import pairwise

import numpy as np
import pytest

from loadtest.client import Answer, Model, Outcome
from loadtest.commands.tally import BUCKET_RATIO, Histogram, Tally, variations_percent
from loadtest.run import Window, WindowLatency


@pytest.mark.parametrize("shape", ["usual", "two kinds", "microseconds", "one"])
def test_percentiles_agree_with_numpy_within_a_bucket(shape: str) -> None:
    numbers = random.Random(3)
    times = {
        "usual": [numbers.lognormvariate(-4, 1) for _ in range(20_000)],
        "two kinds": [0.002] * 900 + [2.0] * 100,
        "microseconds": [numbers.uniform(1e-6, 4e-5) for _ in range(5000)],
        "one": [0.0371],
    }[shape]
    histogram = Histogram()
    for time_s in times:
        histogram.add(time_s)
    for name, share in {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}.items():
        exact = 1e3 * np.quantile(times, share, method="inverted_cdf")
        value = getattr(histogram.latency(), name)
        assert value is not None
        assert exact * 0.9999 - 1e-4 <= value <= exact * 1.01 + 1e-4
    assert histogram.latency().model_dump(include={"mean", "max"}) == pytest.approx(
        {"mean": 1e3 * float(np.mean(times)), "max": 1e3 * max(times)}, rel=1e-3, abs=1e-4
    )


def test_the_histogram_in_the_file_has_every_latency_in_a_bucket_of_one_per_cent() -> None:
    histogram = Histogram()
    times = [random.Random(5).uniform(0.001, 0.002) for _ in range(10)] + [0.5, 0.5, 30.0]
    for time_s in times:
        histogram.add(time_s)
    content = histogram.buckets()
    assert content.unit == "us"
    assert sum(count for _, count in content.buckets) == len(times)
    for bound, count in content.buckets:
        within = [
            t
            for t in times
            if bound / BUCKET_RATIO < t * 1e6 * (1 + 1e-9) and t * 1e6 <= bound * 1.00001
        ]
        assert len(within) == count
    assert BUCKET_RATIO <= 1.01


def test_no_latency_has_no_percentile() -> None:
    assert set(Histogram().latency().model_dump().values()) == {None}


def window(images_per_s: float, seconds: float) -> Window:
    latency = WindowLatency(p50=None, p90=None, p99=None)
    return Window(
        start_s=0.0,
        seconds=seconds,
        images=0,
        images_per_s=images_per_s,
        latency_ms=latency,
        errors={},
    )


def test_variation_is_best_less_worst_of_whole_windows() -> None:
    windows = [window(r, s) for r, s in [(90, 30), (110, 30.1), (5, 2.0)]]
    assert variations_percent(windows, 30) == (20.0, None)
    assert variations_percent(windows[:1], 30) == (None, None)


def test_the_machines_variation_is_that_of_the_yardstick() -> None:
    windows = [window(r, s) for r, s in [(90, 30), (110, 30), (100, 30), (5, 2.0)]]
    for each, ms in zip(windows, (9.5, 10.5, None, 99.0), strict=True):
        each.yardstick_ms = ms
    assert variations_percent(windows, 30) == (20.0, 10.0)


def test_bounds_of_buckets_rise_by_one_per_cent() -> None:
    histogram = Histogram()
    for number in range(1, 4000):
        histogram.add(number * 1e-5)
    bounds = [bound for bound, _ in histogram.buckets().buckets]
    dense = [(a, b) for a, b in pairwise(bounds) if a > 2000]
    assert dense
    assert all(b / a == pytest.approx(BUCKET_RATIO, rel=1e-5) for a, b in dense)


def test_a_failed_request_can_count_as_infinitely_slow() -> None:
    """98 answered and 2 failed: the P99 lies among the failures."""
    tally = Tally(failures_are_infinite=True)
    answer = Answer(Model("m", 1), 1, 1, [])
    for number in range(98):
        tally.add(Outcome([0], [answer], 0.001 * (number + 1)))
    for _ in range(2):
        tally.add(Outcome([0], ["503"], None))
    latency = tally.histogram.latency()
    assert latency.p90 == pytest.approx(90, rel=0.011)
    assert (latency.p99, latency.max, latency.mean) == (None, None, None)
    assert (tally.images, tally.errors["503"], tally.sent) == (98, 2, 100)
    assert sum(count for _, count in tally.histogram.buckets().buckets) == 98


def test_a_batch_counts_once_and_its_failed_pictures_singly() -> None:
    tally = Tally()
    tally.add(Outcome([0, 1, 2], [Answer(Model("m", 1), 1, 1, []), "400", "400"], 0.25))
    assert (tally.images, dict(tally.errors), tally.histogram.count) == (1, {"400": 2}, 1)
