"""DeepStack and CodeProject.AI: for Blue Iris, Agent DVR, Frigate, Viseron and Home Assistant.

https://docs.deepstack.cc/object-detection/ and
https://codeproject.github.io/codeproject.ai/api/api_reference.html. One body has the keys of both.
Coordinates are integers, because clients in Go and Rust read nothing else, and 20 detections are
returned unless asked otherwise, because Frigate has room for 20.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from time import perf_counter
from typing import Annotated, Any

from fastapi import Query as InQuery
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ... import __version__ as VERSION
from ...core.errors import MalformedBody
from ...detection.imaging.image import MEDIA_TYPES
from ...detection.models import Query, Result
from ..routing import DirectRoute
from .base import Dialect, DialectRoute, json_response
from .forms import read_form
from .labels import coco_label

GENERAL = {"general", "ipcam-general"}  # what clients ask for where no model was chosen
DEFAULT_CONFIDENCE = 0.4


FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "image": {"type": "string", "format": "binary"},
                    "min_confidence": {"type": "string", "pattern": r"^(0(\.[0-9]{1,9})?|1)?$"},
                    "api_key": {"type": "string"},
                },
                "required": ["image"],
            },
            "encoding": {"image": {"contentType": ", ".join(MEDIA_TYPES)}},
        }
    },
}


class Parameters(BaseModel):
    """For clients that let their user edit the address. Other parameters are ignored."""

    model_config = ConfigDict(extra="ignore")
    max_detections: int = Field(20, ge=1, le=100)


class DeepStack(Dialect):
    def routes(self) -> Iterator[DirectRoute]:
        post = partial(DialectRoute, error_body=error_body, methods=["POST"], tags=["DeepStack"])
        names = self.path_schemas(*sorted(GENERAL))
        post = partial(post, openapi_extra={"requestBody": FORM}, path_schemas=names)
        yield post("/v1/vision/detection", self.detection, summary="Detect objects")
        yield self._constant("/v1/vision/custom/list", self.models, "Names of the models")
        yield self._constant("/v1/vision/custom/list", self.models, "Names of the models", "POST")
        yield post("/v1/vision/custom/{name}", self.custom, summary="Detect with a named model")
        for prefix in ("/v1/status", "/v1/server/status"):
            yield self._constant(f"{prefix}/ping", self.ping, "Liveness")
            yield self._constant(f"{prefix}/version", self.version, "Version")
            yield self._constant(f"{prefix}/updateavailable", self.update, "Updates")

    def _constant(self, path: str, endpoint: Any, summary: str, method: str = "GET") -> DirectRoute:
        return DirectRoute(path, endpoint, methods=[method], tags=["DeepStack"], summary=summary)

    async def custom(self, request: Request, query: Annotated[Parameters, InQuery()]) -> Response:
        """As `/v1/vision/detection`, with the model by its name."""
        return await self.detection(request, query)

    async def detection(
        self, request: Request, query: Annotated[Parameters, InQuery()]
    ) -> Response:
        """Detects objects in the form's file; `min_confidence` and `api_key` are text parts."""
        name = request.path_params.get("name")
        # A model may have the name that clients use for the default.
        general = name in GENERAL and name not in self.settings.model_names
        detector = self.gateway.detector(request, None if general else name)
        started = perf_counter()
        form = await read_form(request, self.settings)
        self.authorize(request, form.texts.get("api_key", ""))
        threshold = _confidence(form.texts.get("min_confidence") or None)
        wanted = Query(threshold, query.max_detections, frozenset())
        result = await self.detect_picture(request, detector, form.picture, wanted, started)
        timings = request.state.timings
        return json_response(
            {
                **_found(result),
                "duration": 0,
                "inferenceMs": round(1000 * timings.get("backend", 0)),
                "processMs": round(1000 * (perf_counter() - started)),
                "analysisRoundTripMs": round(1000 * (perf_counter() - started)),
                "moduleId": detector.name,
                "moduleName": detector.name,
                "command": "detect",
                "requestId": request.state.request_id,
                **_common(),
            }
        )

    async def models(self) -> Response:
        """The models by name, as strings."""
        models = self.settings.model_names
        return json_response(
            {"success": True, "models": models, "command": "list-custom", **_common()}
        )

    async def ping(self) -> Response:
        """Success as long as the gateway runs."""
        return json_response(
            {"success": True, "message": VERSION, "version": _version(), "code": 200}
        )

    async def version(self) -> Response:
        """The version in CodeProject.AI's parts."""
        return json_response({"success": True, "version": _version(), "message": VERSION})

    async def update(self) -> Response:
        """Blue Iris asks this first, and wants every field."""
        current = _version()
        return json_response(
            {
                "success": True,
                "message": "This is the current version",
                **dict.fromkeys(("version", "current", "latest"), current),
                "updateAvailable": False,
            }
        )


def error_body(request: Request, status: int, detail: str) -> dict[str, Any]:
    return {"success": False, "error": detail, "code": status, "predictions": [], "duration": 0}


def _confidence(text: str | None) -> float:
    if text is None:
        return DEFAULT_CONFIDENCE
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value > 1:
        raise MalformedBody("min_confidence cannot be greater than 1")
    if not value >= 0:
        raise MalformedBody("Invalid value for min_confidence: it is a number from 0 to 1")
    return value


def _found(result: Result) -> dict[str, Any]:
    predictions = [
        {
            "confidence": round(d.score, 6),
            "label": coco_label(d.label),
            **{side: round(value) for side, value in d.box._asdict().items()},
        }
        for d in result.detections
    ]
    names = ", ".join(dict.fromkeys(str(p["label"]) for p in predictions))
    message = f"Found {names}" if names else "No objects found"
    return {
        "success": True,
        "message": message,
        "count": len(predictions),
        "predictions": predictions,
    }


def _common() -> dict[str, Any]:
    now = format_datetime(datetime.now(UTC), usegmt=True)
    return {"code": 200, "processedBy": "localhost", "timestampUTC": now}


def _version() -> dict[str, Any]:
    major, minor, patch = (int(part) for part in VERSION.split(".")[:3])
    return {
        "major": major,
        "minor": minor,
        "patch": patch,
        "preRelease": "",
        "securityUpdate": False,
        "build": 0,
        "file": "",
        "releaseNotes": "",
    }
