"""The gateway's HTTP: routes, and what lives as long as it does."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from time import perf_counter
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from .. import errors
from ..backend.client import TFServing
from ..detection import drawing
from ..detection.detector import Detector, in_thread
from ..detection.models import Result
from ..detection.timings import Timings
from ..lifecycle import Lifecycle
from ..metrics import Metrics
from ..settings import Settings
from . import deadlines, docs, problems, schemas, uploads
from .auth import Keys
from .memory_budget import Buffer, Share
from .middleware import Observe
from .routing import DirectRoute


class Gateway:
    """The routes' shared state."""

    def __init__(self, settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.metrics = metrics
        self.lifecycle = lifecycle
        self.buffer = Buffer(settings.max_held_bytes)
        self.detector: Detector

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        settings = self.settings
        loop = asyncio.get_running_loop()
        # Pictures are decoded and drawn in threads: as many as there are cores, for each takes
        # hundreds of megabytes at the pixel limit.
        loop.set_default_executor(ThreadPoolExecutor(os.cpu_count(), "picture"))
        backend = TFServing(settings, self.metrics)
        self.detector = Detector(backend, settings, self.metrics)
        watcher = asyncio.create_task(self._watch())
        # What is here now is here for good: collections need not look at it, nor come so often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000)
        try:
            yield
        finally:
            watcher.cancel()
            await backend.close()

    async def _watch(self) -> None:
        """Keeps `detect_backend_ready` true, and what is known of each model server."""
        while True:
            with suppress(errors.DetectError):  # the log has it
                await self.detector.ready()
            await asyncio.sleep(self.settings.ready_interval_s)

    async def detect(
        self, request: Request, query: Annotated[schemas.DetectQuery, Query()]
    ) -> Response:
        """One picture, as a form's part `image` or as the body itself: its detections by falling
        score, as JSON or drawn on the picture."""
        with self._counted(), self.buffer.share() as share:
            return await self._detect(request, query, share)

    async def _detect(self, request: Request, query: schemas.DetectQuery, share: Share) -> Response:
        timings: Timings = request.state.timings
        started = perf_counter()
        data = await uploads.one(request, self.settings, share)
        arrived = timings.since(started, "upload")
        deadline = deadlines.deadline(request, started, arrived, self.settings.deadline_s)
        fields = request.state.fields
        fields["bytes"] = len(data)
        work = self.detector.detect(data, query.query(), deadline, timings)
        result = await deadlines.while_there(request, work)
        fields["detections"] = len(result.detections)
        fields["version"] = result.version
        if not schemas.wants_image(query.format, request.headers.get("accept", "")):
            content = schemas.detections(self.settings.model_name, result)
            return Response(to_json(content), media_type="application/json")
        started = perf_counter()
        drawn = await in_thread(deadline, drawing.draw, data, result.detections)
        timings.since(started, "draw")
        return Response(drawn, media_type="image/jpeg")

    async def detect_batch(
        self, request: Request, query: Annotated[schemas.BatchQuery, Query()]
    ) -> Response:
        """Several pictures, as a form's parts `image`: for each, in their order, what `/detect`
        would answer, or `error`. A bad picture costs only itself; when the service can answer none
        of them, the whole call fails."""
        with self.buffer.share() as share:
            return await self._detect_batch(request, query, share)

    async def _detect_batch(
        self, request: Request, query: schemas.BatchQuery, share: Share
    ) -> Response:
        timings: Timings = request.state.timings
        started = perf_counter()
        with self._counted():
            pictures = await uploads.several(request, self.settings, share)
            timings.since(started, "upload")
            deadlines.asked_s(request)  # before any work
        fields = request.state.fields
        fields["pictures"] = len(pictures)
        fields["bytes"] = sum(map(len, pictures))
        # One batch never fills the queue, nor stands whole before everybody else's pictures.
        window = asyncio.Semaphore(max(1, self.settings.max_in_flight // 2))

        async def one(data: bytes, part: Timings) -> Result:
            async with window:
                now = perf_counter()
                deadline = deadlines.deadline(request, started, now, self.settings.deadline_s)
                with self._counted():
                    return await self.detector.detect(data, query.query(), deadline, part)

        parts = [Timings() for _ in pictures]
        work = asyncio.gather(*map(one, pictures, parts), return_exceptions=True)
        results = await deadlines.while_there(request, work)
        for part in parts:  # at the same time, so the longest counts
            timings |= {name: max(part[name], timings.get(name, 0)) for name in part}
        if all(isinstance(r, errors.Unavailable | errors.DeadlineExceeded) for r in results):
            assert isinstance(results[0], errors.DetectError)
            try:
                raise results[0]
            finally:
                del results, work  # as in `patience`: else the pictures wait for a collection
        contents: list[dict[str, Any]] = []
        for result in results:
            if isinstance(result, errors.DetectError):
                contents.append({"error": problems.of_error(request, result)})
                fields["failed"] = fields.get("failed", 0) + 1
            elif isinstance(result, BaseException):
                raise result
            else:
                contents.append(schemas.detections(self.settings.model_name, result))
        return Response(to_json({"results": contents}), media_type="application/json")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """A picture's refusal, or that of a whole upload, by its reason."""
        try:
            yield
        except errors.DetectError as error:
            self.metrics.rejected(problems.slug(error)).inc()
            raise

    async def livez(self) -> Response:
        """200 while the process runs; never asks the backend."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(self) -> Response:
        """200 when the model is AVAILABLE at the backend and this gateway is not about to stop."""
        if self.lifecycle.draining:
            raise errors.Draining("This gateway is about to stop.")
        version = await self.detector.ready()
        content = {"model": {"name": self.settings.model_name, "version": version}}
        return Response(to_json(content), media_type="application/json")

    async def show_metrics(self) -> Response:
        """Prometheus."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def create_app(gateway: Gateway) -> FastAPI:
    settings = gateway.settings
    app = FastAPI(
        title="YOLOv4 object detection",
        version="1",
        description=__doc__,
        lifespan=gateway.lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would be to the host that the caller named
        middleware=[Middleware(Observe, metrics=gateway.metrics)],
    )
    app.router.route_class = DirectRoute
    problems.install(app)
    docs.install(app)
    path = settings.api_keys_file
    keys, unauthorized = ([Depends(Keys(path))], [401]) if path else ([], [])
    every = schemas.problems(400, *unauthorized, 408, 413, 415, 422, 503, 504)
    detections = {"model": schemas.Detections, "content": {"image/jpeg": {}}}
    app.post(
        "/detect",
        dependencies=keys,
        responses={200: detections, **every},
        openapi_extra=schemas.body(1),
    )(gateway.detect)
    app.post(
        "/detect/batch",
        dependencies=keys,
        responses={200: {"model": schemas.Batch}, **every},
        openapi_extra=schemas.body(settings.max_batch_pictures),
    )(gateway.detect_batch)
    app.get("/livez", response_class=PlainTextResponse)(gateway.livez)
    app.get("/readyz", responses={200: {"model": schemas.Ready}, **schemas.problems(503, 504)})(
        gateway.readyz
    )
    app.get("/metrics", response_class=PlainTextResponse)(gateway.show_metrics)
    return app
