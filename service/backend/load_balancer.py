"""Which of several model servers is asked next, and whether one that failed may be asked again."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import logs
from ..detection.models import ModelInfo

CALLS_PER_RETRY = 10


@dataclass(eq=False, slots=True)
class Target:
    """One gRPC target and the two methods asked there. `version`: what its last look found."""

    name: str
    predict: Any
    status: Any
    outstanding: int = 0
    ejected: bool = False
    version: int | None = None
    model: ModelInfo | None = None
    said: str = ""

    def admit(self, version: int, words: str) -> None:
        """A look at it succeeded: whatever was wrong is over."""
        self.version, self.ejected = version, False
        self._say(words, logging.INFO)

    def eject(self, words: str, cause: str | None) -> None:
        """It is left out, while there are others, until a look at it succeeds."""
        # One that has not been available yet is most likely still loading its model.
        level = logging.INFO if self.version is None else logging.WARNING
        self.version, self.model, self.ejected = None, None, True
        self._say(words, level, cause)

    def _say(self, words: str, level: int, cause: str | None = None) -> None:
        if words != self.said:
            logs.event("backend", level, backend=self.name, status=words, cause=cause)
        self.said = words


class Backends:
    """All targets, in their order."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = list(targets)
        self._turn = 0

    def choose(self, other_than: Target | None = None) -> Target:
        """The least busy that is not ejected; of equals each in turn. Where all are ejected, or it
        is the only one, the least bad: refusing without having asked would be an outage of our own.
        """
        self._turn = (self._turn + 1) % len(self.targets)
        from_turn = self.targets[self._turn :] + self.targets[: self._turn]
        return min(from_turn, key=lambda t: (t.ejected, t is other_than, t.outstanding))


class RetryBudget:
    """At most one retry for ten calls, and a burst: what one dying server takes with it is asked
    elsewhere, and an outage of all is not made twice as heavy."""

    def __init__(self, burst: int) -> None:
        self._most = burst * CALLS_PER_RETRY
        self._calls = self._most

    def call(self) -> None:
        self._calls = min(self._calls + 1, self._most)

    def retry(self) -> bool:
        """Whether one may be made; then it is spent."""
        if self._calls < CALLS_PER_RETRY:
            return False
        self._calls -= CALLS_PER_RETRY
        return True
