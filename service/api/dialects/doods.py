"""DOODS: the detector that Home Assistant has built in. https://github.com/snowzach/doods2

`GET /detectors`, and JSON on `POST /detect`. Boxes are 0 to 1 of the picture's sides, confidences 0
to 100. The filter `detect` names labels with their minimum; `*` is for all others.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Annotated, Any

from fastapi import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from ...core.errors import BadParameter, MalformedBody
from ...detection.detector import Detector
from ...detection.models import Detection, Query, Result
from .. import schemas
from ..requests import labels, uploads
from ..routing import DirectRoute
from .base import Dialect, json_limit, json_response, number
from .json_body import decode_base64, parse_json
from .labels import coco_label

SMALLEST_CONFIDENCE = 0.001  # the model's own floor
ALL = "*"
DEFAULT = "default"
JSON = "application/json"


class Doods(Dialect):
    def routes(self) -> Iterator[DirectRoute]:
        yield DirectRoute(
            "/detectors",
            self.detectors,
            methods=["GET"],
            tags=["DOODS"],
            summary="Detectors with their labels",
            operation_id="doods_detectors",
        )

    async def detectors(self) -> Response:
        """The models, the first one also as `default`, which Home Assistant's configuration
        names."""
        detectors = self.gateway.detectors
        named = {DEFAULT: detectors.default} | {each.name: each for each in detectors}
        return json_response({"detectors": [_described(name, d) for name, d in named.items()]})

    async def detect(
        self, request: Request, query: Annotated[schemas.DetectQuery, InQuery()]
    ) -> Response:
        """`POST /detect`: JSON here, and every other body as the gateway takes it."""
        # The header as it stands: parsing it twice would cost 2 % of a form's CPU.
        if not request.headers.get("content-type", "").lower().startswith(JSON):
            return await self.gateway.detect(request, query)
        if uploads.content_type(request)[0] != JSON:
            return await self.gateway.detect(request, query)
        return await self._detect_json(request, query)

    async def _detect_json(self, request: Request, query: schemas.DetectQuery) -> Response:
        detector = self.gateway.detector(request, request.path_params.get("name"))
        labels.check(query.label, detector.models())
        started = perf_counter()
        limit = json_limit(self.settings.max_upload_bytes)
        body = await uploads.read_body(request, limit, request.state.reservation)
        content = await parse_json(body)
        del body
        if "image" in content:
            data = await decode_base64(content.pop("image"), "image")
            if content:
                raise BadParameter(
                    f"There is no key {next(iter(content))[:80]!r} beside `image`; parameters such"
                    " as score_threshold go into the URL's query."
                )
            return await self.gateway.answer(request, detector, query, data, started)
        name = content.get("detector_name") or DEFAULT
        if name in self.settings.model_names:
            detector = self.gateway.detector(request, name)
        elif name != DEFAULT:
            raise BadParameter(f"There is no detector {str(name)[:80]!r}; see GET /detectors.")
        return await self._doods(request, detector, content, started)

    async def _doods(
        self, request: Request, detector: Detector, content: dict[str, Any], started: float
    ) -> Response:
        """`data` in base64. What `detect` does not list is left out."""
        minimum = content.get("detect") or {}
        if not isinstance(minimum, dict):
            raise BadParameter('detect must be an object, for example {"*": 50}.')
        limits = {label: number(minimum, label, 0, 100, 0) / 100 for label in minimum}
        if content.get("regions"):
            raise BadParameter("regions are not supported; set limits in detect.")
        if "data" not in content:
            raise MalformedBody("The JSON has neither `image` nor `data`, a picture in base64.")
        data = await decode_base64(content.pop("data"), "data")
        floor = min(limits.values(), default=1.0)
        wanted = Query(max(floor, SMALLEST_CONFIDENCE), 100, frozenset())
        result = await self.detect_picture(request, detector, data, wanted, started)
        shown = [_shown(d, result) for d in result.detections if _passes(d, limits)]
        return json_response({"id": content.get("id", ""), "detections": shown})


def _described(name: str, detector: Detector) -> dict[str, Any]:
    labels = sorted({coco_label(label) for model in detector.models() for label in model.labels})
    model = {"type": "tensorflow", "model": detector.name, "labels": labels}
    return {"name": name, **model, "width": 0, "height": 0}


def _passes(d: Detection, limits: dict[str, float]) -> bool:
    for label in (coco_label(d.label), d.label, ALL):
        if label in limits:
            return d.score >= limits[label]
    return False


def _shown(d: Detection, result: Result) -> dict[str, Any]:
    return {
        "label": coco_label(d.label),
        "confidence": round(100 * d.score, 4),
        "top": d.box.y_min / result.height,
        "left": d.box.x_min / result.width,
        "bottom": d.box.y_max / result.height,
        "right": d.box.x_max / result.width,
    }
