"""Load balancing: chooses the model server for a call, ejects failing ones, bounds retries."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core import logs
from ..detection.models import ModelInfo

CALLS_PER_RETRY = 10
BUSY_LOG_INTERVAL_S = 60


@dataclass(eq=False, slots=True)
class Target:
    """A gRPC target and its methods. `version` and `model`: from its last health check."""

    name: str
    predict: Any
    status: Any
    metadata: Any = None
    outstanding: int = 0
    checks: int = 0  # health checks in progress
    ejected: bool = False
    version: int | None = None
    model: ModelInfo | None = None
    last_status: str = ""
    busy_logged_at: float = float("-inf")  # time.monotonic()

    def admit(self, version: int, status: str) -> None:
        """Its health check succeeded."""
        self.version, self.ejected = version, False
        self._log(status, logging.INFO)

    def eject(self, status: str, cause: str | None) -> None:
        """Skip it, as long as there are others, until its health check succeeds."""
        # One that has not been available yet is most likely still loading its model.
        level = logging.INFO if self.version is None else logging.WARNING
        self.version, self.model, self.ejected = None, None, True
        self._log(status, level, cause)

    def out_of_threads(self, cause: str | None) -> None:
        """It refused a call for want of gRPC threads: alive, so it stays. Logged once a minute."""
        now = time.monotonic()
        if now - self.busy_logged_at >= BUSY_LOG_INTERVAL_S:
            self.busy_logged_at = now
            logs.event(
                "backend out of threads",
                logging.WARNING,
                backend=self.name,
                status="Start the model server with a higher --grpc_max_threads: at least"
                " gateways x models x (DETECT_MAX_IN_FLIGHT + 1) + 1.",
                cause=cause,
            )

    def _log(self, status: str, level: int, cause: str | None = None) -> None:
        if status != self.last_status:
            logs.event("backend", level, backend=self.name, status=status, cause=cause)
        self.last_status = status


class Backends:
    """The targets, in the order of the setting."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = list(targets)
        self._turn = 0

    def choose(self, other_than: Target | None = None) -> Target:
        """The least-loaded target that is not ejected; round-robin among equals.

        If all are ejected, or there is only one, the least-loaded is used all the same: rejecting
        requests without trying would turn a failed health check into an outage.
        """
        # Turns are among these: else the one after an ejected target would get its turns too.
        usable = [target for target in self.targets if not target.ejected] or self.targets
        self._turn = (self._turn + 1) % len(usable)
        from_turn = usable[self._turn :] + usable[: self._turn]
        return min(from_turn, key=lambda t: (t is other_than, t.outstanding))


class RetryBudget:
    """At most one retry for every ten calls, plus a burst: enough to move one failing server's
    calls elsewhere, without doubling the load when all of them fail."""

    def __init__(self, burst: int) -> None:
        self._most = burst * CALLS_PER_RETRY
        self._calls = self._most

    def call(self) -> None:
        self._calls = min(self._calls + 1, self._most)

    def retry(self) -> bool:
        """Spends one retry; False if there is none left."""
        if self._calls < CALLS_PER_RETRY:
            return False
        self._calls -= CALLS_PER_RETRY
        return True
