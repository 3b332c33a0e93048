"""Canary: which version of a model answers a caller.

The choice is a hash of salt, model, version and caller, so that every gateway makes the same one. A
caller stays where it is while the percentage grows: 25 % contains all of the 10 %.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..core import logs
from ..core.errors import DetectError
from ..core.metrics import Metrics
from ..core.versions import Share
from .models import Backend, ModelInfo, Predictor

STABLE, CANARY, REQUESTED = "stable", "canary", "requested"
LOG_INTERVAL_S = 60


class Route(NamedTuple):
    """The version that answers: stable, the canary, or one that the caller requested."""

    track: str
    predictor: Predictor


class Versions:
    """A model's versions. Without a canary every caller gets the stable one."""

    def __init__(self, name: str, stable: Backend, metrics: Metrics) -> None:
        self.stable = Route(STABLE, stable)
        self._name = name
        self._backend = stable
        self._metrics = metrics
        self._canary: tuple[Backend, Share, str] | None = None
        self._logged_at = float("-inf")  # time.monotonic()

    def add_canary(self, backend: Backend, share: Share, salt: str) -> None:
        self._canary = backend, share, salt
        self._metrics.rollout.canary_percent.labels(self._name).set(share.percent)

    def route(self, caller: str) -> Route:
        if self._canary is None:
            return self.stable
        backend, share, salt = self._canary
        if position(salt, self._name, share.version, caller) >= share.percent:
            return self.stable
        if not backend.current:
            self.fell_back("unavailable", None)
            return self.stable
        return Route(CANARY, backend)

    def requested(self, version: str) -> Route:
        """A version by number or label; whether it is served, the model server decides."""
        backend = self._backend
        if self._canary and version in (self._canary[1].version, str(self._canary[0].current)):
            backend = self._canary[0]  # it may have model servers of its own
        return Route(REQUESTED, backend.at(version))

    def fell_back(self, reason: str, error: DetectError | None) -> None:
        """The stable version answers instead. Logged once a minute."""
        self._metrics.rollout.canary_fallbacks.labels(self._name, reason).inc()
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = now
            cause = str(error) if error else "no model server has it AVAILABLE"
            logs.event(
                "canary fallback", logging.WARNING, model=self._name, reason=reason, cause=cause
            )

    def canary_models(self) -> Sequence[ModelInfo]:
        return self._canary[0].models() if self._canary else []

    async def check(self, timeout_s: float) -> None:
        """Health-checks the canary, if there is one. It never affects readiness."""
        if self._canary is not None:
            await show(self._name, CANARY, self._canary[0], timeout_s, self._metrics)


def position(salt: str, model: str, version: str, caller: str) -> float:
    """A caller's place in a rollout, 0 to below 100."""
    text = "\0".join((salt, model, version, caller)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) * 100 / 2**64


async def show(name: str, track: str, backend: Backend, timeout_s: float, metrics: Metrics) -> None:
    """Health-checks a version and exports it."""
    try:
        version = await backend.version(timeout_s)
    except DetectError:  # the backend logs it
        metrics.show_version(name, None, track)
    else:
        metrics.show_version(name, version, track)
