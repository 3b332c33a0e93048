"""The FastAPI application: startup and shutdown, middleware, and which endpoint answers a path."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse

from ..core.lifecycle import Lifecycle
from ..core.metrics import Metrics
from ..core.responses import MODEL_VERSION
from ..detection.pictures import Pictures
from ..settings import Settings
from . import docs, models, openapi, page, problems, schemas
from .dialects.deepstack import DeepStack
from .dialects.doods import Doods
from .dialects.inference_protocol import InferenceProtocol
from .dialects.instances import Instances
from .middleware import ObservabilityMiddleware
from .requests.auth import APIKeyAuth
from .routes import Gateway
from .routing import DetectionRoute, DirectRoute


def create_app(settings: Settings, metrics: Metrics, lifecycle: Lifecycle) -> FastAPI:
    app = FastAPI(
        title="Object detection",
        version="1",
        description="Object detection over HTTP.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        # core/tracing.py records less, at a third of the CPU.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        redirect_slashes=False,  # a redirect would go to the host that the client names
        middleware=[Middleware(ObservabilityMiddleware, metrics=metrics), *_cors(settings)],
    )
    app.state.gateway = gateway = Gateway(settings, metrics, lifecycle)
    problems.install(app)
    # Not by include_router, which runs FastAPI's own handler instead of the routes'.
    path = settings.api_keys_file
    auth = APIKeyAuth(path) if path else None
    app.router.routes += [*_detection_routes(gateway, auth), *_operation_routes(gateway)]
    for dialect in (Doods, DeepStack, Instances, InferenceProtocol):
        app.router.routes += dialect(gateway, auth).routes()
    docs.install(app)  # these last: routes are tried one after another
    page.install(app)
    return app


def _cors(settings: Settings) -> list[Middleware]:
    """None without configured origins: then browsers keep other sites' pages away."""
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # of a request, also Authorization and X-API-Key
            expose_headers=["Retry-After", "Server-Timing", MODEL_VERSION, "X-Request-ID"],
        )
    ]


def _detection_routes(gateway: Gateway, auth: APIKeyAuth | None) -> Iterator[DetectionRoute]:
    keys, unauthorized = ([Depends(auth)], [401]) if auth else ([], [])
    route = partial(DetectionRoute, methods=["POST"], tags=["detection"], dependencies=keys)
    one: dict[int | str, Any] = {
        200: {"model": schemas.Detections | schemas.Roboflow, "content": {"image/jpeg": {}}}
    }
    several: dict[int | str, Any] = {200: {"model": schemas.Batch}}
    body, batch = openapi.body(1), openapi.body(gateway.settings.max_batch_pictures)
    detect, description = Doods(gateway, auth).detect, gateway.detect.__doc__
    name = openapi.path_parameter("name", gateway.settings.model_names)
    for prefix, suffix in (("", ""), ("/models/{name}", "_by_model")):
        problems = openapi.problems(400, *unauthorized, 404, 408, 413, 415, 422, 503, 504)
        named = [name] if prefix else []
        yield route(
            f"{prefix}/detect",
            detect,
            operation_id=f"detect{suffix}",
            description=description,
            summary="Detect objects in one picture",
            responses=one | problems,
            openapi_extra=body | {"parameters": body["parameters"] + named},
        )
        yield route(
            f"{prefix}/detect/batch",
            gateway.detect_batch,
            operation_id=f"detect_batch{suffix}",
            summary="Detect objects in several pictures",
            responses=several | problems,
            openapi_extra=batch | {"parameters": batch["parameters"] + named},
        )


def _operation_routes(gateway: Gateway) -> Iterator[DirectRoute]:
    def json(model: type[BaseModel], *codes: int) -> dict[str, Any]:
        return {"responses": {200: {"model": model}, **openapi.problems(*codes)}}

    text = {"response_class": PlainTextResponse}
    name = openapi.path_parameter("name", gateway.settings.model_names)
    named = json(schemas.ModelDetails, 404, 503, 504) | {"openapi_extra": {"parameters": [name]}}
    for path, operation_id, summary, endpoint, options in (
        ("/model", "model", "Model", gateway.model, json(schemas.ModelDetails, 503, 504)),
        ("/models", "models", "Models", gateway.models, json(schemas.Models)),
        ("/models/{name}", "model_by_name", "Model by its name", gateway.model, named),
        ("/livez", "livez", "Liveness", gateway.livez, text),
        ("/readyz", "readyz", "Readiness", gateway.readyz, json(schemas.Ready, 503, 504)),
        ("/metrics", "metrics", "Metrics", gateway.show_metrics, text),
    ):
        route = partial(DirectRoute, path, endpoint, **options)
        yield route(methods=["GET"], operation_id=operation_id, summary=summary, tags=["operation"])
        yield route(methods=["HEAD"], include_in_schema=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    gateway: Gateway = app.state.gateway
    settings, metrics = gateway.settings, gateway.metrics
    gateway.pictures = Pictures(settings)
    gateway.detectors, backends = models.connect(gateway.pictures, settings, metrics)
    watcher = asyncio.create_task(_watch(gateway))
    # Startup objects live for the whole process; freeze them, and collect less often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    try:
        yield
    finally:
        watcher.cancel()
        gateway.pictures.close()
        for detector in gateway.detectors:
            if detector.shadow is not None:
                await detector.shadow.close()
        for backend in backends:
            await backend.close()


async def _watch(gateway: Gateway) -> None:
    """Health checks: keeps `detect_backend_ready` and the state of each model server up to date."""
    while True:
        try:
            await gateway.detectors.check()  # the backend logs what is not ready
            await asyncio.gather(*(detector.check_others() for detector in gateway.detectors))
        except Exception:  # a bug must not end the health checks
            logging.getLogger(__name__).exception("health check failed")
        await asyncio.sleep(gateway.settings.ready_interval_s)
