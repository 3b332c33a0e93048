"""When requests arrive: a Poisson process, the same for the same seed."""

import random
from collections.abc import Iterator


def arrivals(rate: float, seconds: float, at_least: int, seed: int) -> Iterator[float]:
    """Seconds from the start, until both `seconds` and `at_least` arrivals are reached.

    At another rate it is the same sequence, only faster or slower.
    """
    gaps = random.Random(f"arrivals {seed}")
    at, count = gaps.expovariate(1.0) / rate, 0
    while at < seconds or count < at_least:
        yield at
        count += 1
        at += gaps.expovariate(1.0) / rate
