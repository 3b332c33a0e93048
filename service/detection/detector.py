"""Detections for one picture: header check, slot, orientation, model server, selection.

It knows neither HTTP nor gRPC.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..errors import BackendFailed, BadPicture, DeadlineExceeded, TooLarge
from ..metrics import Metrics
from ..settings import Settings
from . import image
from .admission import Admission
from .models import Backend, Box, Detection, ModelInfo, Prediction, Query, Result
from .timings import Timings

Done = TypeVar("Done")

SENT_AGAIN = 2  # times: a right picture may meet a damaged one more than once


async def in_thread(deadline: float, work: Callable[..., Done], *arguments: Any) -> Done:
    """`work` off the event loop; what has not begun when the deadline passes never will."""
    left_s = deadline - time.perf_counter()
    try:
        if left_s <= 0:
            raise TimeoutError
        async with asyncio.timeout(left_s):  # wait_for would keep the picture until a collection
            return await asyncio.to_thread(work, *arguments)
    except TimeoutError as error:
        raise DeadlineExceeded("The picture could not be worked on in time.") from error


class Detector:
    def __init__(self, backend: Backend, settings: Settings, metrics: Metrics) -> None:
        self._backend = backend
        self._settings = settings
        self._metrics = metrics
        self._admission = Admission(
            settings.max_in_flight, settings.max_queue, metrics.in_flight, metrics.queue_length
        )

    async def detect(self, data: bytes, query: Query, deadline: float, timings: Timings) -> Result:
        """One picture's detections. Raises errors.DetectError, and nothing is left behind.

        `deadline`: the `time.perf_counter()` after which nobody waits any more.
        """
        self._metrics.upload_bytes.observe(len(data))
        limit = self._settings.max_upload_bytes
        if len(data) > limit:
            raise TooLarge(f"The picture has {len(data)} bytes; the limit is {limit}.")
        header = image.read_header(data, self._settings.max_pixels)
        queued = time.perf_counter()
        async with self._admission.place(deadline - queued):
            called = time.perf_counter()
            timings.add("queue", called - queued)
            picture = image.Picture(data, header.width, header.height)
            if not header.as_is:
                picture = await in_thread(deadline, image.upright, data)
                called = timings.since(called, "upright")
            prediction = await self._predict(picture.data, deadline)
            timings.since(called, "backend")
        return Result(
            prediction.version,
            picture.width,
            picture.height,
            list(_select(prediction, picture.width, picture.height, query)),
        )

    async def _predict(self, data: bytes, deadline: float) -> Prediction:
        """The backend's answer. A batch that it makes of many callers' pictures fails as one, so
        that what it refuses may be right and a neighbour damaged: only then is a picture decoded
        here, which tells, and a right one sent again, as one that every decoder takes."""
        again = 0
        while True:
            try:
                return await self._backend.predict(data, deadline - time.perf_counter())
            except BadPicture as error:
                if again == SENT_AGAIN:
                    raise BackendFailed(
                        "The model server refuses this picture, which is not damaged."
                    ) from error.__cause__
            if again == 0:
                data = (await in_thread(deadline, image.upright, data)).data
            again += 1
            self._metrics.suspected.inc()

    def models(self) -> Sequence[ModelInfo]:
        """What the model servers serve; empty as long as that is not known of each of them."""
        return self._backend.models()

    async def ready(self) -> int:
        """The version that would answer now; raises errors.DetectError where none would."""
        try:
            version = await self._backend.version(self._settings.ready_timeout_s)
        except Exception:
            self._metrics.show_version(self._settings.model_name, None)
            raise
        self._metrics.show_version(self._settings.model_name, version)
        return version


def _select(prediction: Prediction, width: int, height: int, query: Query) -> Iterator[Detection]:
    """Rows the caller asked for, clipped. Greedy NMS allows the threshold to come afterwards."""
    boxes, scores = prediction.boxes, prediction.scores
    right, bottom = float(width), float(height)
    found = 0
    for i in range(prediction.count):
        if scores[i] < query.score_threshold or found == query.max_detections:
            return
        label = prediction.labels[i].decode("utf-8", "replace")
        if query.labels and label not in query.labels:
            continue
        found += 1
        x_min, y_min, x_max, y_max = boxes[4 * i : 4 * i + 4]
        box = Box(
            min(max(x_min, 0.0), right),
            min(max(y_min, 0.0), bottom),
            min(max(x_max, 0.0), right),
            min(max(y_max, 0.0), bottom),
        )
        yield Detection(label, int(prediction.classes[i]), scores[i], box)
