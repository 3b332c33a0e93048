"""Shadow traffic: sends copies of answered pictures to another version and compares detections.

A copy is sent after the response, without queue, admission or retry, and is dropped while callers
need all slots or too many copies are in flight: callers never wait for it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..core.errors import DetectError
from ..core.metrics import Metrics
from .models import Backend, Prediction

MIN_SCORE = 0.25  # the API's default threshold: what most callers see
MIN_IOU = 0.5
MAX_BYTES = 32 * 1024 * 1024  # of all copies in flight

Corners = Sequence[float]


class Copy(NamedTuple):
    """What the model server got, and what it answered."""

    picture: bytes
    prediction: Prediction


class Shadow:
    """`saturated`: whether callers need all slots."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        percent: float,
        max_in_flight: int,
        timeout_s: float,
        metrics: Metrics,
        saturated: Callable[[], bool],
    ) -> None:
        self.backend = backend
        self._percent = percent
        self._max_in_flight = max_in_flight
        self._timeout_s = timeout_s
        self._saturated = saturated
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        rollout = metrics.rollout
        self._images = {
            outcome: rollout.shadow_images.labels(name, outcome)
            for outcome in ("compared", "dropped", "failed")
        }
        self._detections = {
            outcome: rollout.shadow_detections.labels(name, outcome)
            for outcome in ("matched", "missing", "extra")
        }
        self._difference = rollout.shadow_score_difference.labels(name)

    def sampled(self) -> bool:
        return random.random() * 100 < self._percent

    def offer(self, copy: Copy) -> None:
        """Sends a copy in the background, or drops it."""
        size = len(copy.picture)
        full = len(self._tasks) >= self._max_in_flight or self._bytes + size > MAX_BYTES
        if full or self._saturated() or not self.backend.current:
            self._images["dropped"].inc()
            return
        self._bytes += size
        task = asyncio.create_task(self._compare(copy))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _compare(self, copy: Copy) -> None:
        try:
            shadow = await self.backend.predict(copy.picture, self._timeout_s)
            pairs, missing, extra = await match(copy.prediction, shadow)
        except DetectError:  # counted; the call's status is in detect_backend_duration_seconds
            self._images["failed"].inc()
            return
        finally:
            self._bytes -= len(copy.picture)
        self._images["compared"].inc()
        for outcome, count in (("matched", len(pairs)), ("missing", missing), ("extra", extra)):
            self._detections[outcome].inc(count)
        for one, other in pairs:
            self._difference.observe(abs(one - other))


async def match(
    stable: Prediction, shadow: Prediction
) -> tuple[list[tuple[float, float]], int, int]:
    """Scores of matched detections, and how many are missing from `shadow` or extra in it. Of one
    class, best score first, each takes the free box with the largest IoU, at least `MIN_IOU`."""
    free: dict[bytes, list[tuple[float, Corners]]] = {}
    for label, score, box in _detections(shadow):
        free.setdefault(label, []).append((score, box))
    pairs, missing = [], 0
    for label, score, box in _detections(stable):
        candidates = free.get(label, [])
        best = max(candidates, key=lambda c: iou(box, c[1]), default=None)
        if best is None or iou(box, best[1]) < MIN_IOU:
            missing += 1
        else:
            candidates.remove(best)
            pairs.append((score, best[0]))
        await asyncio.sleep(0)  # a hundred boxes of one class take milliseconds
    return pairs, missing, sum(map(len, free.values()))


def _detections(prediction: Prediction) -> list[tuple[bytes, float, Corners]]:
    return [
        (prediction.labels[i], prediction.scores[i], prediction.boxes[4 * i : 4 * i + 4])
        for i in range(prediction.count)
        if prediction.scores[i] >= MIN_SCORE
    ]


def iou(a: Corners, b: Corners) -> float:
    """Intersection over union of two boxes: x_min, y_min, x_max, y_max."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union
