"""Detections for one picture: header check, orientation, slot, model server, selection.

It knows neither HTTP nor gRPC.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

from ..core.errors import BackendFailed, BadPicture, TooLarge
from ..core.metrics import Metrics
from ..settings import Settings
from . import drawing, image, pixels
from .admission import Admission
from .image import Header
from .models import Backend, Box, Detection, ModelInfo, Prediction, Query, Result
from .pixels import Picture
from .quarantine import Quarantine
from .timings import Timings
from .workers import PixelWorkers, available_cores

ATTEMPTS = 2  # with an undamaged picture, which may have met damaged ones in a batch
COPIES = 3  # of an encoded picture at most: its bytes, the request built from them, gRPC's buffer


class Detector:
    """Make it inside the running event loop, and close it there."""

    def __init__(self, backend: Backend, settings: Settings, metrics: Metrics) -> None:
        self._backend = backend
        self._settings = settings
        self._metrics = metrics
        self._admission = Admission(
            settings.max_in_flight, settings.max_queue, metrics.in_flight, metrics.queue_length
        )
        threads = settings.picture_threads or available_cores()
        self._workers = PixelWorkers(settings.max_pixel_bytes, threads)
        # One thread: a header takes microseconds, and more threads would only compete for the GIL.
        self._headers = ThreadPoolExecutor(1, "headers")
        self._quarantine = Quarantine()

    def close(self) -> None:
        self._workers.close()
        self._headers.shutdown(wait=False, cancel_futures=True)

    async def detect(
        self, data: bytes, query: Query, deadline: float, timings: Timings, sender: str
    ) -> Result:
        """One picture's detections. Raises errors.DetectError.

        `deadline`: the `time.perf_counter()` at which the caller stops waiting. `sender`: who is
        remembered for damaged pictures, see quarantine.py.
        """
        self._metrics.upload_bytes.observe(len(data))
        header = await self._header(data)
        self._admission.check(deadline - time.perf_counter())
        if header.as_is:
            picture = Picture(data, header.width, header.height)
            prediction = await self._predict(picture, header, deadline, timings, sender)
        else:
            async with self._normalized(data, header, deadline, timings) as picture:
                prediction = await self._ask_encoded(picture.data, deadline, timings)
        width, height = header.shown
        detections = list(_select(prediction, picture, header, query))
        return Result(prediction.version, width, height, detections)

    async def draw(
        self, data: bytes, detections: Sequence[Detection], deadline: float, timings: Timings
    ) -> bytes:
        """The picture with its detections, as JPEG. Raises errors.DetectError."""
        header = await self._header(data)
        started = time.perf_counter()
        async with self._workers.reserve(pixels.decoding_bytes(header), deadline) as memory:
            drawn = await memory.run(
                drawing.draw, data, header, detections, self._settings.label_font_file
            )
        timings.since(started, "draw")
        return drawn

    async def _header(self, data: bytes) -> Header:
        limit = self._settings.max_upload_bytes
        if len(data) > limit:
            raise TooLarge(f"The picture has {len(data)} bytes; the limit is {limit}.")
        header = image.plain_header(data)
        if header is None:
            loop = asyncio.get_running_loop()
            header = await loop.run_in_executor(self._headers, image.pillow_header, data)
        image.check_pixels(header, self._settings.max_pixels)
        return header

    async def _predict(
        self, picture: Picture, header: Header, deadline: float, timings: Timings, sender: str
    ) -> Prediction:
        """The prediction for a picture that no decoder of ours has seen.

        A model server fails a batch as a whole, so what it refuses may be undamaged, and a
        neighbour at fault: only then is the picture decoded here, and sent again if undamaged.
        """
        quarantined = sender in self._quarantine
        if not quarantined:
            with suppress(BadPicture):
                return await self._ask(picture.data, deadline, timings, 1)
        await self._verify(picture.data, header, deadline, timings, sender)
        if not quarantined:
            self._metrics.suspected.inc()
        with suppress(BadPicture):
            return await self._ask(picture.data, deadline, timings, ATTEMPTS)
        # Pillow takes what TensorFlow refuses, which is rare: TensorFlow takes it encoded again.
        self._metrics.suspected.inc()
        async with self._normalized(picture.data, header, deadline, timings) as again:
            return await self._ask_encoded(again.data, deadline, timings)

    async def _verify(
        self, data: bytes, header: Header, deadline: float, timings: Timings, sender: str
    ) -> None:
        """Raises BadPicture for a damaged picture, and quarantines its sender."""
        started = time.perf_counter()
        needed = pixels.decoding_bytes(header)
        try:
            async with self._workers.reserve(needed, deadline) as memory:
                await memory.run(pixels.verify, data, header)
        except BadPicture:
            delay_s = self._quarantine.damaged(sender)
            await asyncio.sleep(min(delay_s, deadline - time.perf_counter()))
            raise
        finally:
            timings.since(started, "verify")
        self._quarantine.undamaged(sender)

    @asynccontextmanager
    async def _normalized(
        self, data: bytes, header: Header, deadline: float, timings: Timings
    ) -> AsyncIterator[Picture]:
        """The picture as an upright JPEG, whose memory counts until the end of the block."""
        started = time.perf_counter()
        async with self._workers.reserve(pixels.decoding_bytes(header), deadline) as memory:
            picture = await memory.run(pixels.normalize_orientation, data, header)
            memory.keep(COPIES * len(picture.data))
            timings.since(started, "upright")
            yield picture

    async def _ask_encoded(self, picture: bytes, deadline: float, timings: Timings) -> Prediction:
        try:
            return await self._ask(picture, deadline, timings, ATTEMPTS)
        except BadPicture as error:
            raise BackendFailed(
                "The model server refuses this picture, which is not damaged."
            ) from error.__cause__

    async def _ask(
        self, picture: bytes, deadline: float, timings: Timings, attempts: int
    ) -> Prediction:
        """Raises BadPicture where every attempt is refused."""
        for attempt in range(attempts):
            if attempt:
                self._metrics.suspected.inc()
            started = time.perf_counter()
            async with self._admission.slot(deadline - started):
                called = timings.since(started, "queue")
                try:
                    return await self._backend.predict(picture, deadline - called)
                except BadPicture:
                    if attempt + 1 == attempts:
                        raise
                finally:
                    timings.since(called, "backend")
        raise AssertionError("no attempts")

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
