"""The autoscaler's arithmetic over a day of load: no oscillation, and no scale-down without data.

Simulated: HorizontalPodAutoscaler (ceil, 10 % tolerance, stabilization) over the recorded rule,
with the chart's values and servers that take minutes to load. The day is made: the usual night and
two peaks, noise in every step, two sudden bursts.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise

import pytest

from .rendering import SWITCHES, TARGETS, needs_tools, pick, render

STEP_S = 15  # KEDA's pollingInterval and the autoscaler's period
TOLERANCE = 0.1
WARM_UP_S = 180
CALL_S = 0.3
GATEWAYS, MAX_IN_FLIGHT, MAX_QUEUE = 4, 16, 64
DAY = range(0, 24 * 3600, STEP_S)


def day(noise: float, seed: int = 1) -> Iterator[float]:
    """Calls a second."""
    chance = random.Random(seed)
    for at_s in DAY:
        hour = at_s / 3600
        peaks = sum(math.exp(-(((hour - peak) / 2.5) ** 2)) for peak in (10.5, 19.5))
        burst = 2.5 if 14 <= hour < 14.1 or 22.5 <= hour < 22.6 else 1
        yield (6 + 110 * peaks) * burst * chance.uniform(1 - noise, 1 + noise)


class Autoscaler:
    """autoscaling/v2 with AverageValue, as KEDA makes it from the ScaledObject."""

    def __init__(self, target: str) -> None:
        scaled = pick(render(target, *SWITCHES["scaled model servers"]), "ScaledObject")["spec"]
        self.least, self.most = int(scaled["minReplicaCount"]), int(scaled["maxReplicaCount"])
        self.threshold = float(scaled["triggers"][0]["metadata"]["threshold"])
        self.ignores_nulls = scaled["triggers"][0]["metadata"]["ignoreNullValues"] == "true"
        self.fallback = scaled["fallback"]
        behaviour = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        window_s = behaviour["scaleDown"]["stabilizationWindowSeconds"]
        self.recommended: deque[int] = deque(maxlen=window_s // STEP_S)
        self.replicas, self.failures = self.least, 0

    def step(self, demanded: float | None) -> int:
        wanted = self._wanted(demanded)
        self.recommended.append(wanted)
        if wanted < self.replicas:
            wanted = min(self.replicas, max(self.recommended))
        self.replicas = wanted
        return wanted

    def _wanted(self, demanded: float | None) -> int:
        if demanded is None and not self.ignores_nulls:
            self.failures += 1
            if self.failures <= self.fallback["failureThreshold"]:
                return self.replicas
            assert self.fallback["behavior"] == "currentReplicasIfHigher"
            return max(self.replicas, int(self.fallback["replicas"]))
        self.failures = 0
        ratio = (demanded or 0) / (self.replicas * self.threshold)
        if abs(ratio - 1) <= TOLERANCE:
            return self.replicas
        return min(self.most, max(self.least, math.ceil((demanded or 0) / self.threshold)))


def simulate(
    scaler: Autoscaler, load: Iterator[float], lost: Callable[[int], bool] = lambda at_s: False
) -> tuple[list[int], float]:
    """The number of servers at each step, and the share of calls that were rejected."""
    knee = scaler.threshold / 0.7  # calls that one server works on without becoming slower
    started = [-WARM_UP_S] * scaler.least
    recent: deque[float] = deque(maxlen=60 // STEP_S)  # of the rule's rate over a minute
    history, queue, rejected, total = [], 0.0, 0.0, 0.0
    for at_s, calls in zip(DAY, load, strict=True):
        ready = sum(at_s - start >= WARM_UP_S for start in started)
        capacity = ready * knee / CALL_S  # calls a second
        backlog = queue + calls * STEP_S
        served = min(backlog, capacity * STEP_S)
        queue = min(backlog - served, GATEWAYS * MAX_QUEUE)
        refused = backlog - served - queue
        rejected, total = rejected + refused, total + calls * STEP_S
        in_flight = min(GATEWAYS * MAX_IN_FLIGHT, served / STEP_S * CALL_S)
        recent.append(in_flight + queue + refused / STEP_S * CALL_S)
        wanted = scaler.step(None if lost(at_s) else sum(recent) / len(recent))
        started = (started + [at_s] * wanted)[:wanted]
        history.append(wanted)
    return history, rejected / total


def reversals(history: list[int]) -> list[int]:
    """When servers were added after some had been removed, in seconds."""
    changes = [
        (at, new - old)
        for at, old, new in zip(DAY, history, history[1:], strict=False)
        if new != old
    ]
    return [at for (_, before), (at, now) in pairwise(changes) if before < 0 < now]


@needs_tools
@pytest.mark.parametrize("noise", [0.05, 0.25])
@pytest.mark.parametrize("target", TARGETS)
def test_a_day_follows_the_load_without_oscillation(target: str, noise: float) -> None:
    history, rejected = simulate(Autoscaler(target), day(noise))
    turns = reversals(history)
    print(target, noise, f"{rejected:.2%} rejected", [n for n, _ in groupby(history)], turns)  # noqa: T201
    assert max(history) > 2 * min(history)
    assert len(turns) <= 6  # two peaks, two bursts, and their edges
    assert all(later - sooner > 3600 for sooner, later in pairwise(turns))
    assert rejected < 0.01


@needs_tools
def test_without_stabilization_it_would_oscillate() -> None:
    """So that the bound above is one that can fail."""
    scaler = Autoscaler("cpu")
    scaler.recommended = deque(maxlen=1)
    assert len(reversals(simulate(scaler, day(0.25))[0])) > 12


@needs_tools
def test_a_lost_prometheus_scales_nothing_down() -> None:
    scaler = Autoscaler("cpu")
    lost = range(10 * 3600, 12 * 3600)  # during a peak
    history, _ = simulate(scaler, day(0.05), lost.__contains__)
    during = history[lost.start // STEP_S : lost.stop // STEP_S]
    assert during == sorted(during)
    assert during[-1] >= history[lost.start // STEP_S - 1] > scaler.least
