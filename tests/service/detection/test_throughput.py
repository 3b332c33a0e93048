"""The interval between completions, and what a picture that was too late says of it."""

import pytest

from service.detection.throughput import CAUTIOUS_FOR_S, ThroughputEstimator


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def estimator(interval_s: float) -> tuple[ThroughputEstimator, Clock]:
    clock = Clock()
    throughput = ThroughputEstimator(clock)
    for _ in range(50):
        clock.now += interval_s
        throughput.complete(3)
    return throughput, clock


def test_late_while_others_are_answered_it_leaves_the_estimate() -> None:
    throughput, clock = estimator(0.1)
    clock.now += 9.9
    throughput.complete(3)
    before = throughput.interval_s()
    throughput.expire(10, 4)
    assert throughput.interval_s() == before
    assert throughput.fell_behind


def test_where_nothing_was_answered_the_estimate_starts_anew() -> None:
    throughput, clock = estimator(0.1)
    clock.now += 10
    throughput.expire(10, 16)
    assert throughput.interval_s() == pytest.approx(10 / 16)
    clock.now += 0.2
    throughput.complete(0)
    assert throughput.interval_s() == pytest.approx(10.2)  # the first one since: all that is known
    throughput.resume()
    clock.now += 0.2
    throughput.complete(0)
    assert throughput.interval_s() < 5.3


def test_caution_ends() -> None:
    throughput, clock = estimator(0.1)
    assert not throughput.fell_behind
    throughput.expire(1, 1)
    clock.now += CAUTIOUS_FOR_S - 1
    assert throughput.fell_behind
    clock.now += 2
    assert not throughput.fell_behind
