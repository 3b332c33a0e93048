"""Schedules, the search for the highest rate, and both loops against a service that stalls."""

import asyncio

import numpy as np
import pytest

from loadtest.load import RATE_PRECISION, arrivals, highest_rate, percentile


def test_arrivals_are_a_poisson_process_that_the_seed_decides() -> None:
    times = list(arrivals(50, 200, 0, 7))
    assert times == list(arrivals(50, 200, 0, 7))
    assert times != list(arrivals(50, 200, 0, 8))
    assert times == sorted(times)
    assert len(times) == pytest.approx(50 * 200, rel=0.05)
    gaps = np.diff(times)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.05)  # exponential
    # Twice the rate is the same sequence, twice as fast.
    twice = list(arrivals(100, 100, 0, 7))
    assert twice == pytest.approx([t / 2 for t in times])
    assert len(list(arrivals(0.1, 1, 20, 7))) == 20


@pytest.mark.parametrize("true", [0.4, 3.0, 10.0, 700.0])
def test_the_search_ends_just_below_the_highest_rate(true: float) -> None:
    asked: list[float] = []

    async def passes(rate: float) -> bool:
        asked.append(rate)
        return rate <= true

    found = asyncio.run(highest_rate(10.0, passes))
    assert found is not None
    assert true / RATE_PRECISION <= found <= true
    assert len(set(asked)) == len(asked) < 16


def test_the_search_ends_where_nothing_passes() -> None:
    async def passes(rate: float) -> bool:
        return False

    assert asyncio.run(highest_rate(10.0, passes)) is None


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.91, 10), (0.99, 10), (1.0, 10)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([3, 1, 2, 10, 9, 8, 7, 6, 5, 4], share) == expected
    assert percentile([7.0], share) == 7.0
