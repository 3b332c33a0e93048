"""Detections for one picture: header check, orientation, slot, model server, selection.

It knows neither HTTP nor gRPC.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from ..core.errors import BackendFailed, BadPicture, DetectError, NotFound
from ..core.metrics import Metrics
from ..settings import Settings
from .admission import Admission
from .image import Header
from .models import Backend, Box, Detection, ModelInfo, Prediction, Query, Result
from .pictures import Pictures
from .pixels import Picture
from .timings import BACKEND, Timings


class Detector:
    """One model, with its own admission. `pictures` is shared by all models."""

    def __init__(
        self, name: str, backend: Backend, pictures: Pictures, settings: Settings, metrics: Metrics
    ) -> None:
        self.name = name
        self._backend = backend
        self._pictures = pictures
        self._settings = settings
        self._metrics = metrics
        metrics.images(name)  # exported as 0 before the first one
        self._suspected = metrics.suspected(name)
        self._admission = Admission(
            settings.max_in_flight,
            settings.max_queue,
            metrics.in_flight(name),
            metrics.queue_length(name),
        )

    async def detect(
        self, data: bytes, query: Query, deadline: float, timings: Timings, sender: str
    ) -> Result:
        """One picture's detections. Raises errors.DetectError.

        `deadline`: the `time.perf_counter()` at which the caller stops waiting. `sender`: who is
        remembered for damaged pictures, see quarantine.py.
        """
        self._metrics.upload_bytes.observe(len(data))
        header = await self._pictures.header(data)
        self._admission.check(deadline - time.perf_counter())
        if header.as_is:
            picture = Picture(data, header.width, header.height)
            prediction = await self._predict(picture, header, deadline, timings, sender)
        else:
            async with self._pictures.normalized(data, header, deadline, timings) as picture:
                prediction = await self._ask_encoded(picture.data, deadline, timings)
        width, height = header.shown
        detections = list(_select(prediction, picture, header, query))
        return Result(self.name, prediction.version, width, height, detections)

    async def _predict(
        self, picture: Picture, header: Header, deadline: float, timings: Timings, sender: str
    ) -> Prediction:
        """The prediction for a picture that no decoder of ours has seen.

        A model server fails a batch as a whole, so what it refuses may be undamaged, and a
        neighbour at fault: only then is the picture decoded here, and if undamaged sent again,
        where it meets no picture that may be damaged.
        """
        quarantined = sender in self._pictures.quarantine
        if quarantined:
            await self._pictures.verify(picture.data, header, deadline, timings, sender)
        with suppress(BadPicture):
            return await self._ask(picture.data, deadline, timings)
        if not quarantined:
            await self._pictures.verify(picture.data, header, deadline, timings, sender)
        with suppress(BadPicture):
            return await self._ask_again(picture.data, deadline, timings)
        # Pillow takes what TensorFlow refuses, which is rare: TensorFlow takes it encoded again.
        self._suspected.inc()
        async with self._pictures.normalized(picture.data, header, deadline, timings) as again:
            return await self._ask_encoded(again.data, deadline, timings)

    async def _ask_encoded(self, picture: bytes, deadline: float, timings: Timings) -> Prediction:
        with suppress(BadPicture):
            return await self._ask(picture, deadline, timings)
        try:
            return await self._ask_again(picture, deadline, timings)
        except BadPicture as error:
            raise BackendFailed(
                "The model server refuses this picture, which is not damaged."
            ) from error.__cause__

    async def _ask_again(self, picture: bytes, deadline: float, timings: Timings) -> Prediction:
        self._suspected.inc()
        return await self._ask(picture, deadline, timings, isolated=True)

    async def _ask(
        self, picture: bytes, deadline: float, timings: Timings, isolated: bool = False
    ) -> Prediction:
        """Raises BadPicture where the model server refuses the picture, or its batch."""
        started = time.perf_counter()
        async with self._admission.slot(deadline - started):
            called = timings.since(started, "queue")
            try:
                return await self._backend.predict(picture, deadline - called, isolated)
            finally:
                timings.since(called, BACKEND)

    def models(self) -> Sequence[ModelInfo]:
        """What the model servers serve; empty as long as that is not known of each of them."""
        return self._backend.models()

    async def ready(self) -> int:
        """The version that would answer now; raises errors.DetectError where none would."""
        try:
            version = await self._backend.version(self._settings.ready_timeout_s)
        except Exception:
            self._metrics.show_version(self.name, None)
            raise
        self._metrics.show_version(self.name, version)
        return version


class Detectors:
    """The models behind this gateway. The first is the default."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.default = detectors[0]
        self._by_name = {detector.name: detector for detector in detectors}

    def __iter__(self) -> Iterator[Detector]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Detector:
        """Raises NotFound, which lists the names."""
        try:
            return self._by_name[name]
        except KeyError:
            names = ", ".join(map(repr, self._by_name))
            raise NotFound(f"There is no model {name[:80]!r}, only {names}.") from None

    async def check(self) -> list[tuple[Detector, int | DetectError]]:
        """Health-checks all models: the version of each that would answer, or why none would."""
        return list(zip(self, await asyncio.gather(*map(_version, self)), strict=True))

    async def ready(self) -> list[tuple[Detector, int]]:
        """The version of each model; raises errors.DetectError unless all are available."""
        versions = []
        for detector, version in await self.check():
            if isinstance(version, DetectError):
                raise version
            versions.append((detector, version))
        return versions


async def _version(detector: Detector) -> int | DetectError:
    try:
        return await detector.ready()
    except DetectError as error:
        return error


def _select(
    prediction: Prediction, picture: Picture, header: Header, query: Query
) -> Iterator[Detection]:
    """Rows the caller asked for, in pixels of the picture as shown, clipped to it. Greedy NMS
    allows the threshold to come afterwards."""
    width, height = header.shown
    across, down = width / picture.width, height / picture.height  # 1 unless it was reduced
    boxes, scores = prediction.boxes, prediction.scores
    selected = 0
    for i in range(prediction.count):
        if scores[i] < query.score_threshold or selected == query.max_detections:
            return
        label = prediction.labels[i].decode("utf-8", "replace")
        if query.labels and label not in query.labels:
            continue
        selected += 1
        x_min, y_min, x_max, y_max = boxes[4 * i : 4 * i + 4]
        box = Box(
            min(max(x_min * across, 0.0), float(width)),
            min(max(y_min * down, 0.0), float(height)),
            min(max(x_max * across, 0.0), float(width)),
            min(max(y_max * down, 0.0), float(height)),
        )
        yield Detection(label, int(prediction.classes[i]), scores[i], box)
