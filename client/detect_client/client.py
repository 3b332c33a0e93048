"""The blocking client: one picture, a batch, or many with a bounded number in flight."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import TypeVar

import httpx

from . import calls, pictures
from .errors import ConnectionFailed, DetectError
from .pictures import Picture
from .results import Model, Result
from .retry import Attempts

Answer = TypeVar("Answer")


class Client:
    """Sends pictures to a detection service; safe to share between threads.

    Args:
        url: The service's address, for example `http://localhost:8000`.
        key: API key, where the service asks for one.
        model: Name of one of the service's models. None: its default.
        timeout_s: Seconds that one picture may take, waits and retries included. The service is
            told and drops the work when they are over.

    A call that is refused with Retry-After, and one whose connection breaks, is repeated until
    `timeout_s` is over. Everything else is raised at once, as a subclass of DetectError.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        model: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self._timeout_s = timeout_s
        self._closed = threading.Event()
        self._http = httpx.Client(
            base_url=calls.base_url(url, model),
            headers=calls.headers(key),
            limits=httpx.Limits(max_connections=None),
        )

    def detect(
        self,
        picture: Picture,
        *,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Iterable[str] = (),
    ) -> Result:
        """Detects objects in one picture.

        Args:
            picture: A path, bytes of a JPEG, PNG or WebP file, a PIL image, or a NumPy array of
                shape (height, width, 3), dtype uint8, RGB.
            score_threshold: Minimum confidence, 0 to 1. None: the service's default, 0.25.
            max_detections: At most this many, best score first, 1 to 100. None: 100.
            labels: Only detections with these labels; empty for all.

        Raises:
            DetectError: One of its subclasses; see `detect_client.errors`.
        """
        data = pictures.read(picture)
        query = calls.parameters(score_threshold, max_detections, labels)
        request = calls.detect(self._http, data, query)
        return self._send(request, lambda response: calls.result(response, data))

    def detect_batch(
        self,
        batch: Iterable[Picture],
        *,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Iterable[str] = (),
    ) -> list[Result | DetectError]:
        """Detects objects in a few pictures with one request, at most as many as the service
        accepts; in the order of `batch`, a Result for each, or the DetectError of a bad picture."""
        data = [pictures.read(picture) for picture in batch]
        query = calls.parameters(score_threshold, max_detections, labels)
        request = calls.detect_batch(self._http, data, query)
        return self._send(request, lambda response: calls.results(response, data))

    def detect_many(
        self,
        many: Iterable[Picture],
        *,
        in_flight: int = 8,
        return_errors: bool = False,
        score_threshold: float | None = None,
        max_detections: int | None = None,
        labels: Iterable[str] = (),
    ) -> Iterator[Result | DetectError]:
        """Detects objects in any number of pictures, `in_flight` at a time; results keep the order.

        Pictures are taken from `many` only as they are needed, so it may be endless.

        Args:
            return_errors: Yield the DetectError of a picture in its place instead of raising it.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {in_flight}")
        labels = tuple(labels)

        def one(picture: Picture) -> Result | DetectError:
            try:
                return self.detect(
                    picture,
                    score_threshold=score_threshold,
                    max_detections=max_detections,
                    labels=labels,
                )
            except DetectError as error:
                if return_errors:
                    return error
                raise

        pending: deque[Future[Result | DetectError]] = deque()
        pool = ThreadPoolExecutor(in_flight, "detect")
        try:
            for picture in many:
                # The context holds the caller's OpenTelemetry span.
                pending.append(pool.submit(copy_context().run, one, picture))
                if len(pending) >= in_flight:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # a caller that stops early does not wait for what is in flight
            pool.shutdown(wait=False, cancel_futures=True)

    def model(self) -> Model:
        """The model that the service uses: name, version and labels."""
        return self._send(calls.model(self._http), calls.model_result)

    def close(self) -> None:
        """Ends all connections; calls that wait to be repeated fail."""
        self._closed.set()
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _send(self, request: httpx.Request, read: Callable[[httpx.Response], Answer]) -> Answer:
        attempts = Attempts(self._timeout_s)
        while True:
            try:
                try:
                    return read(self._http.send(calls.within(request, attempts.remaining_s())))
                except httpx.TransportError as error:
                    raise calls.transport_error(error, request) from error
            except DetectError as error:
                pause_s = attempts.pause_s(error)
            if self._closed.wait(pause_s):
                raise ConnectionFailed("The client was closed.")
