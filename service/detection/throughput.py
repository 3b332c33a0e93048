"""How fast a model server is: the interval between its completions, and whether it fell behind."""

from collections import deque
from collections.abc import Callable

SMOOTHING = 0.05  # the weight of each completion: the average follows the last twenty to forty
RECENT = 4  # completions that show a model server which has become slower
CAUTIOUS_FOR_S = 600.0  # after one was too late


class ThroughputEstimator:
    """The interval between completions while there is work, in seconds.

    It hardly depends on how many slots are taken, at least where the model server's cores are the
    bottleneck, and so it is known before the first overload, when the time in a slot is not.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._average_s = 0.0
        self._recent_s: deque[float] = deque(maxlen=RECENT)
        self._completions = 0
        self._cautious_until = float("-inf")
        self._since = clock()

    def resume(self) -> None:
        """There is work again."""
        self._since = self._clock()

    def complete(self, running: int) -> None:
        """One completes, `running` go on. The first completion also counts those still running."""
        self._completions += 1
        passed_s = self._clock() - self._since
        weight = max(SMOOTHING, 1 / (self._completions + running))
        self._average_s += weight * (passed_s - self._average_s)
        self._recent_s.append(passed_s / (running + 1) if self._completions == 1 else passed_s)
        self._since = self._clock()

    def expire(self, took_s: float, in_flight: int) -> None:
        """One was not answered within `took_s`, or its caller left then."""
        self._cautious_until = self._clock() + CAUTIOUS_FOR_S
        if self._clock() - self._since >= took_s:  # nor was any other: what was known is outdated
            self._average_s = max(self._average_s, took_s / in_flight)
            self._completions = 0
            self._recent_s.clear()

    @property
    def fell_behind(self) -> bool:
        """Whether a picture was too late in the last minutes."""
        return self._clock() < self._cautious_until

    def interval_s(self) -> float:
        """The slower of the average and of the recent completions, the next one included: a model
        server that stalls is slow before anything completes."""
        waited_s = self._clock() - self._since
        recent_s = sum(self._recent_s) / max(1, len(self._recent_s))
        with_next_s = (sum(self._recent_s) + waited_s) / (len(self._recent_s) + 1)
        return max(self._average_s, recent_s, with_next_s) if self._recent_s else self._average_s
