"""Detections for one picture: header check, orientation, slot, model server, selection.

It knows neither HTTP nor gRPC.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial

from ..core.errors import BackendFailed, BadPicture, DetectError, NoBackend, NotFound
from ..core.metrics import Metrics
from ..settings import Settings
from .admission import Admission
from .canary import CANARY, STABLE, Route, Versions, show
from .imaging.image import Header
from .imaging.pixels import Picture
from .models import Backend, Box, Detection, ModelInfo, Prediction, Predictor, Query, Result
from .pictures import Pictures
from .quarantine import Sender
from .shadow import Copy, Shadow
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
        self._suspected = metrics.suspected(name)
        self.versions = Versions(name, backend, metrics)
        self.shadow: Shadow | None = None
        self._admission = Admission(
            settings.max_in_flight,
            settings.max_queue,
            settings.deadline_s,
            metrics.in_flight(name),
            metrics.queue_length(name),
        )

    def saturated(self) -> bool:
        """Whether callers have all slots at the model servers."""
        return self._admission.saturated

    async def detect(
        self,
        data: bytes,
        query: Query,
        deadline: float,
        timings: Timings,
        sender: Sender,
        route: Route | None = None,
        copies: list[Copy] | None = None,
    ) -> Result:
        """One picture's detections. Raises errors.DetectError.

        `deadline`: the `time.perf_counter()` at which the caller stops waiting. `sender`: who is
        remembered for damaged pictures, see quarantine.py. `route`: the version to ask, by default
        the stable one. `copies` gets what the shadow version is to be compared with.
        """
        self._metrics.upload_bytes.observe(len(data))
        route = route or self.versions.stable
        header = await self._pictures.header(data)
        ask = partial(self._ask_version, data, header, deadline, timings, sender)
        try:
            prediction, picture = await ask(route.predictor)
        except (BackendFailed, NoBackend) as error:
            if route.track != CANARY:
                raise
            self.versions.fell_back("failed", error)
            route = self.versions.stable
            prediction, picture = await ask(route.predictor)
        if copies is not None and route.track == STABLE:
            copies.append(Copy(picture.data, prediction))
        width, height = header.shown
        detections = list(_select(prediction, picture, header, query))
        return Result(self.name, prediction.version, width, height, detections, route.track)

    async def _ask_version(
        self,
        data: bytes,
        header: Header,
        deadline: float,
        timings: Timings,
        sender: Sender,
        version: Predictor,
    ) -> tuple[Prediction, Picture]:
        """The prediction, and the picture that it is for."""
        self._admission.check(deadline - time.perf_counter())
        if header.as_is:
            picture = Picture(data, header.width, header.height)
            prediction = await self._predict(version, picture, header, deadline, timings, sender)
        else:
            async with self._pictures.normalized(data, header, deadline, timings) as picture:
                prediction = await self._ask_encoded(version, picture.data, deadline, timings)
        return prediction, picture

    async def _predict(
        self,
        version: Predictor,
        picture: Picture,
        header: Header,
        deadline: float,
        timings: Timings,
        sender: Sender,
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
            return await self._ask(version, picture.data, deadline, timings)
        if not quarantined:
            await self._pictures.verify(picture.data, header, deadline, timings, sender)
        with suppress(BadPicture):
            return await self._ask_again(version, picture.data, deadline, timings)
        # Pillow takes what TensorFlow refuses, which is rare: TensorFlow takes it encoded again.
        self._suspected.inc()
        async with self._pictures.normalized(picture.data, header, deadline, timings) as again:
            return await self._ask_encoded(version, again.data, deadline, timings)

    async def _ask_encoded(
        self, version: Predictor, picture: bytes, deadline: float, timings: Timings
    ) -> Prediction:
        with suppress(BadPicture):
            return await self._ask(version, picture, deadline, timings)
        try:
            return await self._ask_again(version, picture, deadline, timings)
        except BadPicture as error:
            raise BackendFailed(
                "The model server refuses this picture, which is not damaged."
            ) from error.__cause__

    async def _ask_again(
        self, version: Predictor, picture: bytes, deadline: float, timings: Timings
    ) -> Prediction:
        self._suspected.inc()
        return await self._ask(version, picture, deadline, timings, isolated=True)

    async def _ask(
        self,
        version: Predictor,
        picture: bytes,
        deadline: float,
        timings: Timings,
        isolated: bool = False,
    ) -> Prediction:
        """Raises BadPicture where the model server refuses the picture, or its batch."""
        started = time.perf_counter()
        async with self._admission.slot(deadline - started):
            called = timings.since(started, "queue")
            try:
                return await version.predict(picture, deadline - called, isolated)
            finally:
                timings.since(called, BACKEND)

    def models(self) -> Sequence[ModelInfo]:
        """What the model servers serve; empty as long as that is not known of each of them."""
        return [*self._backend.models(), *self.versions.canary_models()]

    async def ready(self, version: str | None = None) -> int:
        """The version that would answer now, the stable one unless `version` asks for another.
        Raises errors.DetectError where none would."""
        if version is not None:
            predictor = self.versions.requested(version).predictor
            return await predictor.number(self._settings.ready_timeout_s)
        try:
            current = await self._backend.version(self._settings.ready_timeout_s)
        except Exception:
            self._metrics.show_version(self.name, None)
            raise
        self._metrics.show_version(self.name, current)
        return current

    async def check_others(self) -> None:
        """Health-checks the canary and the shadow version, which never affect readiness."""
        timeout_s = self._settings.ready_timeout_s
        checks = [self.versions.check(timeout_s)]
        if self.shadow is not None:
            checks.append(show(self.name, "shadow", self.shadow.backend, timeout_s, self._metrics))
        await asyncio.gather(*checks)


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
    width, height = map(float, header.shown)
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
            _clip(x_min * across, width),
            _clip(y_min * down, height),
            _clip(x_max * across, width),
            _clip(y_max * down, height),
        )
        yield Detection(label, int(prediction.classes[i]), scores[i], box)


def _clip(value: float, limit: float) -> float:
    if 0.0 <= value <= limit:  # nearly always, and faster than min and max
        return value
    return 0.0 if value < 0.0 else limit
