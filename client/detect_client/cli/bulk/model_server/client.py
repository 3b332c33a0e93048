"""The asynchronous client of the model servers, with the calls that a worker makes."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

import grpc

from ....errors import (
    ConnectionFailed,
    InvalidParameter,
    InvalidPicture,
    Unavailable,
    UnexpectedAnswer,
)
from ....results import Box, Detection, Model, Result
from ....retry import Attempts
from . import codec, image
from . import messages as m
from .channel import TLS, open_channel
from .codec import Prediction
from .image import Header, Picture
from .status_codes import Refused, translate

Made = TypeVar("Made")


class ModelServer:
    """One model of the TensorFlow Serving servers at `address`. Enter it in the event loop."""

    def __init__(self, address: str, model: str, *, tls: TLS, timeout_s: float) -> None:
        self._address, self._name, self._tls, self._timeout_s = address, model, tls, timeout_s
        self._asked = asyncio.Lock()
        self._model: Model | None = None

    async def model(self) -> Model:
        """Name, newest available version and labels; asked once."""
        async with self._asked:
            if self._model is None:
                self._model = await self._ask(Attempts(self._timeout_s))
        return self._model

    async def detect(
        self, data: bytes, *, score_threshold: float, max_detections: int, labels: Iterable[str]
    ) -> Result:
        """As the gateway does it. Raises the errors of `AsyncClient.detect`."""
        labels = frozenset(labels)
        model = await self.model()
        _check(model, score_threshold, max_detections, labels)
        attempts = Attempts(self._timeout_s)
        header = await self._in_thread(image.read_header, data)
        if header.as_is:
            picture = Picture(data, header.width, header.height)
            answer = await self._predict_unseen(picture, header, attempts)
        else:
            picture = await self._in_thread(image.encode, data, header)
            answer = await self._predict_encoded(picture.data, attempts)
        detections = _select(answer, picture, header, score_threshold, max_detections, labels)
        return Result(*header.shown, detections, model.name, answer.version)

    async def _predict_unseen(
        self, picture: Picture, header: Header, attempts: Attempts
    ) -> Prediction:
        """A server fails a batch as a whole: of what it refuses, an undamaged picture is sent
        again, where it meets no other that may be damaged."""
        with suppress(Refused):
            return await self._predict(picture.data, attempts)
        await self._in_thread(image.verify, picture.data, header)
        with suppress(Refused):
            return await self._predict(picture.data, attempts, isolated=True)
        # Pillow takes what TensorFlow refuses, which is rare: TensorFlow takes it encoded again.
        again = await self._in_thread(image.encode, picture.data, header)
        return await self._predict_encoded(again.data, attempts)

    async def _predict_encoded(self, picture: bytes, attempts: Attempts) -> Prediction:
        with suppress(Refused):
            return await self._predict(picture, attempts)
        try:
            return await self._predict(picture, attempts, isolated=True)
        except Refused as error:
            sentence = "The model server refuses this picture, which is not damaged."
            raise InvalidPicture(sentence) from error

    async def _predict(
        self, picture: bytes, attempts: Attempts, isolated: bool = False
    ) -> Prediction:
        model = await self.model()
        spec = codec.spec(model.name, model.version, "serving_default")
        request = codec.predict_request(spec, "image", picture, isolated)
        return codec.prediction(await self._call(self._predicting, request, attempts))

    async def _ask(self, attempts: Attempts) -> Model:
        status = m.GetModelStatusRequest(model_spec=codec.spec(self._name)).SerializeToString()
        while True:
            version = codec.newest_available(await self._call(self._status, status, attempts))
            if version is not None:
                break
            loading = Unavailable(f"No version of model {self._name!r} is available.")
            await asyncio.sleep(attempts.pause_s(loading))
        spec = codec.spec(self._name, version, "metadata")
        request = codec.predict_request(spec, "rows", b"")
        labels: tuple[str, ...] = ()
        # A model exported by another program has no such signature; its labels are not checked.
        with suppress(InvalidPicture, UnexpectedAnswer):
            labels = codec.class_names(await self._call(self._predicting, request, attempts))
        return Model(self._name, version, labels)

    async def _call(self, method: Any, request: bytes, attempts: Attempts) -> bytes:
        """Repeated with growing pauses while the servers are full or cannot be reached."""
        while True:
            try:
                answer: bytes = await method(request, timeout=attempts.remaining_s())
                return answer
            except grpc.aio.AioRpcError as error:
                problem = translate(error)
            except grpc.aio.UsageError as error:
                problem = ConnectionFailed(f"The client was closed: {error}")
            await asyncio.sleep(attempts.pause_s(problem))

    async def _in_thread(self, work: Callable[..., Made], *arguments: object) -> Made:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)

    async def __aenter__(self) -> ModelServer:
        self._channel = open_channel(self._address, self._tls)
        call = self._channel.unary_unary
        self._predicting = call("/tensorflow.serving.PredictionService/Predict")
        self._status = call("/tensorflow.serving.ModelService/GetModelStatus")
        # Pixels take memory: as many at a time as there are cores.
        self._threads = ThreadPoolExecutor(os.cpu_count(), "pictures")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._channel.close()


def _check(
    model: Model, score_threshold: float, max_detections: int, labels: frozenset[str]
) -> None:
    if not 0 <= score_threshold <= 1:
        raise InvalidParameter(f"The score threshold is 0 to 1, not {score_threshold}.")
    if not 1 <= max_detections <= 100:
        raise InvalidParameter(
            f"Of one picture, 1 to 100 detections are given, not {max_detections}."
        )
    for label in sorted(labels - set(model.labels)) if model.labels else ():
        near = difflib.get_close_matches(label, model.labels, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidParameter(f"The model has no label {label!r}.{hint}")


def _select(
    answer: Prediction,
    picture: Picture,
    header: Header,
    score_threshold: float,
    max_detections: int,
    labels: frozenset[str],
) -> list[Detection]:
    """What was asked for, in pixels of the picture as shown, clipped to it, rounded as the gateway
    rounds."""
    width, height = header.shown
    across, down = width / picture.width, height / picture.height
    selected: list[Detection] = []
    for i in range(answer.count):
        if answer.scores[i] < score_threshold or len(selected) == max_detections:
            break
        label = answer.labels[i].decode("utf-8", "replace")
        if not labels or label in labels:
            scale_and_end = ((across, width), (down, height), (across, width), (down, height))
            sides = zip(answer.boxes[4 * i : 4 * i + 4], scale_and_end, strict=True)
            box = Box(*(round(min(max(v * by, 0.0), float(end)), 2) for v, (by, end) in sides))
            score = round(answer.scores[i], 6)
            selected.append(Detection(label, int(answer.classes[i]), score, box))
    return selected
