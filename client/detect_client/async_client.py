"""The asynchronous client: the same calls, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import TypeVar

import httpx

from . import calls, pictures
from .errors import DetectError
from .pictures import Picture
from .results import Model, Result
from .retry import Attempts
from .window import ordered

Answer = TypeVar("Answer")


class AsyncClient:
    """Sends pictures to a detection service. Arguments and errors are those of `Client`."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        model: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=calls.base_url(url, model),
            headers=calls.headers(key),
            limits=httpx.Limits(max_connections=None),
        )

    async def detect(
        self,
        picture: Picture,
        *,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Iterable[str] = (),
    ) -> Result:
        """See `Client.detect`. Paths are read, and images encoded, in a thread."""
        data = await asyncio.to_thread(pictures.read, picture)
        query = calls.parameters(score_threshold, max_detections, labels)
        request = calls.detect(self._http, data, query)
        return await self._send(request, lambda response: calls.result(response, data))

    async def detect_batch(
        self,
        batch: Iterable[Picture],
        *,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Iterable[str] = (),
    ) -> list[Result | DetectError]:
        """See `Client.detect_batch`."""
        data = [await asyncio.to_thread(pictures.read, picture) for picture in batch]
        query = calls.parameters(score_threshold, max_detections, labels)
        # A multipart body that both kinds of httpx client can send: as bytes.
        request = calls.detect_batch(self._http, data, query)
        return await self._send(request, lambda response: calls.results(response, data))

    async def detect_many(
        self,
        many: Iterable[Picture],
        *,
        in_flight: int = 8,
        return_errors: bool = False,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Iterable[str] = (),
    ) -> AsyncGenerator[Result | DetectError, None]:
        """See `Client.detect_many`."""
        if in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {in_flight}")
        labels = tuple(labels)

        async def one(picture: Picture) -> Result | DetectError:
            try:
                return await self.detect(
                    picture,
                    score_threshold=score_threshold,
                    max_detections=max_detections,
                    labels=labels,
                )
            except DetectError as error:
                if return_errors:
                    return error
                raise

        async with aclosing(ordered(many, one, in_flight)) as results:
            async for result in results:
                yield result

    async def model(self) -> Model:
        """See `Client.model`."""
        return await self._send(calls.model(self._http), calls.model_result)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _send(
        self, request: httpx.Request, read: Callable[[httpx.Response], Answer]
    ) -> Answer:
        attempts = Attempts(self._timeout_s)
        while True:
            try:
                try:
                    sent = await self._http.send(calls.within(request, attempts.remaining_s()))
                    return read(sent)
                except httpx.TransportError as error:
                    raise calls.transport_error(error, request) from error
            except DetectError as error:
                pause_s = attempts.pause_s(error)
            await asyncio.sleep(pause_s)
