"""The endpoints: detection, the models, the probes and /metrics."""

import asyncio
import logging
import traceback
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Annotated, Any, NoReturn

from fastapi import Query as InQuery
from prometheus_client.exposition import choose_encoder
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core import errors, logs
from ..core.errors import DetectError
from ..core.lifecycle import Lifecycle
from ..core.metrics import Metrics
from ..detection.canary import Route
from ..detection.detector import Detector, Detectors
from ..detection.models import Query, Result
from ..detection.pictures import Pictures
from ..detection.quarantine import Sender
from ..detection.shadow import Copy
from ..detection.timings import Timings
from ..settings import Settings
from . import problems, schemas
from .dialects import roboflow
from .requests import labels, model_version, uploads
from .requests.deadlines import cancel_on_disconnect, deadline, parse_timeout
from .requests.memory_budget import MemoryBudget


class Gateway:
    """The endpoints and what they share. `pictures` and `detectors` are set at startup."""

    pictures: Pictures
    detectors: Detectors

    def __init__(self, settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.metrics = metrics
        self.lifecycle = lifecycle
        self.memory = MemoryBudget(settings.max_held_bytes)
        metrics.held_bytes.set_function(lambda: self.memory.held)

    def detector(self, request: Request, name: str | None = None) -> Detector:
        """The model of this name, or the default; the request's log line and metrics get it.
        Raises NotFound."""
        detector = self.detectors.default if name is None else self.detectors[name]
        request.state.fields["model"] = detector.name
        return detector

    def route(self, request: Request, detector: Detector) -> Route:
        """The version that answers this request: what it asks for, else what its caller gets, who
        is known by the key's owner, else only by the request's id. Raises BadParameter, NotFound.
        """
        version = model_version.requested(request)
        if version is not None:
            return detector.versions.requested(version)
        state = request.state
        return detector.versions.route(str(state.fields.get("key") or state.request_id))

    async def detect_with(
        self,
        request: Request,
        detector: Detector,
        route: Route,
        data: bytes,
        query: Query,
        until: float,
        timings: Timings,
    ) -> Result:
        """One picture by the version of `route`; perhaps copied to the shadow version later."""
        shadow = detector.shadow
        copies: list[Copy] | None = [] if shadow and shadow.sampled() else None
        result = await detector.detect(data, query, until, timings, sender(request), route, copies)
        if shadow and copies:
            after = partial(shadow.offer, copies[0])
            request.scope["state"].setdefault("after_response", []).append(after)
        return result

    async def detect(
        self, request: Request, query: Annotated[schemas.DetectQuery, InQuery()]
    ) -> Response:
        """Detects objects in one picture, sent as the form part `image` or as the raw body. Returns
        them as JSON, highest score first, or drawn on the picture."""
        detector = self.detector(request, request.path_params.get("name"))
        labels.check(query.label, detector.models())
        started = perf_counter()
        data = await uploads.read_image(request, self.settings, request.state.reservation)
        return await self.answer(request, detector, query, data, started)

    async def answer(
        self,
        request: Request,
        detector: Detector,
        query: schemas.DetectQuery,
        data: bytes,
        started: float,
    ) -> Response:
        """The response to `/detect` for a picture's bytes. `started`: when the request came."""
        timings: Timings = request.state.timings
        fields = request.state.fields
        uploaded = timings.since(started, "upload")
        until = deadline(request, started, uploaded, self.settings.deadline_s)
        fields["bytes"] = len(data)
        route = self.route(request, detector)

        async def work() -> tuple[Result, Response]:
            result = await self.detect_with(
                request, detector, route, data, query.query(), until, timings
            )
            fields["detections"] = len(result.detections)
            fields["version"] = result.version
            if query.format is schemas.Format.roboflow:
                return result, _json(roboflow.response(request.state.request_id, result, timings))
            if not schemas.wants_image(query.format, request.headers.get("accept", "")):
                return result, _json(schemas.detections(result))
            drawn = await self.pictures.draw(data, result.detections, until, timings)
            return result, ImageResponse(drawn)

        result, response = await cancel_on_disconnect(request, work())
        if isinstance(response, ImageResponse):
            request.state.reservation.resize(len(response.body))
        self.count(result)
        return response

    async def detect_batch(
        self, request: Request, query: Annotated[schemas.BatchQuery, InQuery()]
    ) -> Response:
        """Detects objects in several pictures, sent as form parts named `image`. `results` has one
        entry for each, in request order: what `/detect` returns, or `error`. A bad picture affects
        no other; if the service cannot process any of them, the whole request fails."""
        timings: Timings = request.state.timings
        detector = self.detector(request, request.path_params.get("name"))
        labels.check(query.label, detector.models())
        started = perf_counter()
        pictures = await uploads.read_images(request, self.settings, request.state.reservation)
        timings.since(started, "upload")
        results = await self.detect_all(request, detector, pictures, query.query(), started)
        return self._batch_response(request, results)

    async def detect_all(
        self,
        request: Request,
        detector: Detector,
        pictures: Sequence[bytes],
        query: Query,
        started: float,
    ) -> list[Result | BaseException]:
        """Several pictures of one request, in request order. `started`: when it came."""
        parse_timeout(request)  # before any work
        route = self.route(request, detector)
        fields = request.state.fields
        fields["pictures"] = len(pictures)
        fields["bytes"] = sum(map(len, pictures))
        # One request takes at most half of the slots, and never fills the queue.
        window = asyncio.Semaphore(max(1, self.settings.max_in_flight // 2))
        turn = asyncio.Lock()

        async def detect(data: bytes, part: Timings) -> Result:
            async with window:
                async with turn:  # a call copies its picture: one call in each turn of the loop
                    await asyncio.sleep(0)
                now = perf_counter()
                until = deadline(request, started, now, self.settings.deadline_s)
                return await self.detect_with(request, detector, route, data, query, until, part)

        parts = [Timings() for _ in pictures]
        work = asyncio.gather(*map(detect, pictures, parts), return_exceptions=True)
        results = await cancel_on_disconnect(request, work)
        # Several where the stable version answered for a canary that failed on some.
        versions = sorted({r.version for r in results if isinstance(r, Result)})
        if versions:
            fields["version"] = versions[0] if len(versions) == 1 else ", ".join(map(str, versions))
        timings: Timings = request.state.timings
        for part in parts:  # they overlap, so the longest counts
            timings |= {name: max(part[name], timings.get(name, 0)) for name in part}
        return results

    def _batch_response(self, request: Request, results: list[Result | BaseException]) -> Response:
        if not any(isinstance(result, Result) or _is_the_pictures(result) for result in results):
            self.raise_first(request, results)
        failures = [result for result in results if not isinstance(result, Result)]
        self.count_rejected(request, failures)
        _log_bugs(request, failures)
        if failures:
            request.state.fields["failed"] = len(failures)
        contents: list[dict[str, Any]] = []
        for result in results:
            if isinstance(result, Result):
                self.count(result)
                contents.append(schemas.detections(result))
            else:
                contents.append({"error": problems.document(request, result)})
        return _json({"results": contents})

    def raise_first(self, request: Request, results: list[Result | BaseException]) -> NoReturn:
        """Raises the first failure. Empties the list: an error that one of its own frames holds is
        a reference cycle, and would keep the pictures in memory until a collection."""
        first, *others = (result for result in results if not isinstance(result, Result))
        results.clear()
        self.count_rejected(request, others)  # the route counts and logs the one that is raised
        _log_bugs(request, others)
        try:
            raise first
        finally:
            del first, others

    def count_rejected(self, request: Request, failures: Sequence[BaseException]) -> None:
        """The model is unknown as long as `detector` has not been called."""
        model = request.state.fields.get("model", "")
        for error in failures:
            self.metrics.rejected(model, problems.reason(error)).inc()

    def count(self, result: Result) -> None:
        labels = result.model, result.track, result.version
        self.metrics.images(*labels).inc()
        for detection in result.detections:
            self.metrics.detections(*labels, detection.label).inc()

    async def model(self, request: Request) -> Response:
        """The model version that answers now, `/model` for `/detect`: labels by class id, input
        size in pixels, precision and target. Null is what the model does not tell."""
        detector = self.detector(request, request.path_params.get("name"))
        version = await detector.ready()
        details = schemas.model_details(detector.name, version, detector.models())
        return _json(details.model_dump())

    async def models(self) -> Response:
        """The models by name, the default first, with the version of each that answers now, or the
        reason why none does."""
        states = await self.detectors.check()
        return _json({"models": [schemas.model_state(d.name, state) for d, state in states]})

    async def livez(self) -> Response:
        """200 while the process runs, whatever the state of the model server."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(self) -> Response:
        """200 when a version of every model is AVAILABLE and the gateway is not draining."""
        if self.lifecycle.draining:
            raise errors.Draining("This gateway is shutting down.")
        ready = await self.detectors.ready()
        models = [{"name": detector.name, "version": version} for detector, version in ready]
        return _json({"model": models[0], "models": models})

    async def show_metrics(self, request: Request) -> Response:
        """Metrics in Prometheus' text format, or in OpenMetrics', with exemplars, if it is
        accepted."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self.metrics.registry), media_type=media_type)


class ImageResponse(Response):
    """A drawn picture, sent in pieces: it ends, and releases its memory, when the client has read
    all but the last."""

    media_type = "image/jpeg"
    PIECE = 64 * 1024

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(headers)
        body = memoryview(self.body)
        for at in range(0, len(body), self.PIECE):
            more = at + self.PIECE < len(body)
            piece = body[at : at + self.PIECE]
            await send({"type": "http.response.body", "body": piece, "more_body": more})


def sender(request: Request) -> Sender:
    """Who sent the picture."""
    owner = request.state.fields.get("key")
    host, port = request.client or ("", 0)
    return Sender(f"key {owner}" if owner else host, f"{host} {port}")


def _json(content: Any) -> Response:
    return Response(to_json(content), media_type="application/json")


def _is_the_pictures(error: BaseException) -> bool:
    """Whether the picture was rejected, and not the service at fault."""
    ours = isinstance(error, errors.Unavailable | errors.DeadlineExceeded)
    return isinstance(error, DetectError) and not ours


def _log_bugs(request: Request, failures: Sequence[BaseException]) -> None:
    """Unexpected failures of single pictures; the server logs what ends a whole request."""
    request_id = request.state.request_id
    for error in failures:
        if not isinstance(error, DetectError):
            lines = "".join(traceback.format_exception(error))
            logs.event("picture failed", logging.ERROR, request_id=request_id, traceback=lines)
