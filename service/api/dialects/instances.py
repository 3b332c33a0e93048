"""`instances`: SageMaker's, Vertex AI's and TensorFlow Serving's REST requests.

Rows as TensorFlow Serving takes them (`{"instances": [{"b64": "..."}]}`), with detections as
`predictions`; SageMaker's `/invocations` takes a picture as the body too.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html,
https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements,
https://www.tensorflow.org/tfx/serving/api_rest
"""

import os
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ...core.errors import DetectError, MalformedBody, TooLarge, Unavailable
from ...detection.detector import Detector
from ...detection.models import Query, Result
from .. import openapi, problems, schemas
from ..requests import model_version, uploads
from ..routing import DirectRoute
from .base import (
    BASE64,
    Dialect,
    DialectRoute,
    InfoRoute,
    json_limit,
    json_response,
    parameters,
)
from .json_body import decode_base64, parse_json

ROWS = {
    "type": "array",
    "items": {
        "anyOf": [
            BASE64,
            {
                "type": "object",
                "properties": {"b64": BASE64},
                "required": ["b64"],
                "additionalProperties": False,
            },
        ]
    },
}


class Instances(Dialect):
    def routes(self) -> Iterator[DirectRoute]:
        tags: list[Any] = ["instances"]
        names = self.path_schemas()
        post = partial(
            DialectRoute, error_body=error_body, methods=["POST"], tags=tags, path_schemas=names
        )
        rows = {"instances": ROWS | {"maxItems": self.settings.max_batch_pictures}}
        post = partial(post, openapi_extra=openapi.json_body("instances", **rows))
        get = partial(
            InfoRoute, error_body=error_body, methods=["GET"], tags=tags, path_schemas=names
        )
        for path in dict.fromkeys(("/invocations", os.environ.get("AIP_PREDICT_ROUTE"))):
            if path:
                yield post(path, self.invocations, summary="Detect objects")
        for path in dict.fromkeys(("/ping", os.environ.get("AIP_HEALTH_ROUTE"))):
            if path:
                yield get(path, self.ping, summary="Readiness", response_class=PlainTextResponse)
        for model in ("/v1/models/{model}", "/v1/models/{model}/versions/{version}"):
            yield post(f"{model}:predict", self.predict, summary="Detect objects")
            yield get(model, self.status, summary="Status of the model")

    async def invocations(self, request: Request) -> Response:
        """A picture as the body, answered as `/detect` does; or JSON with `instances`."""
        self.authorize(request)
        media_type, _ = uploads.content_type(request)
        detector = self.gateway.detector(request)
        if not media_type.startswith("image/"):
            return await self._rows(request, detector)
        started = perf_counter()
        limit = self.settings.max_upload_bytes
        data = await uploads.read_body(request, limit, request.state.reservation)
        query = Query(0.25, 100, frozenset())
        result = await self.detect_picture(request, detector, data, query, started)
        return json_response(schemas.detections(result))

    async def predict(self, request: Request) -> Response:
        """As TensorFlow Serving's, whatever the Content-Type; version 0 is the newest."""
        self.authorize(request)
        detector, _ = await self._version(request)  # checked also where there are no pictures
        return await self._rows(request, detector)

    async def ping(self, request: Request) -> Response:
        """200 when the model is served, 503 otherwise; no body."""
        await self.gateway.readyz()
        return PlainTextResponse("")

    async def status(self, request: Request) -> Response:
        """The version that answers, as TensorFlow Serving and KServe tell it."""
        detector, version = await self._version(request)
        status = {"error_code": "OK", "error_message": ""}
        states = [{"version": str(version), "state": "AVAILABLE", "status": status}]
        return json_response({"name": detector.name, "ready": True, "model_version_status": states})

    async def _version(self, request: Request) -> tuple[Detector, int]:
        """The model that the path names, and its version. Raises NotFound."""
        detector = self.gateway.detector(request, request.path_params["model"])
        return detector, await detector.ready(model_version.in_path(request))

    async def _rows(self, request: Request, detector: Detector) -> Response:
        started = perf_counter()
        by_row, query, pictures = await self._read_rows(request)
        request.state.timings.since(started, "upload")
        results = await self.gateway.detect_all(request, detector, pictures, query, started)
        succeeded = not results or any(isinstance(result, Result) for result in results)
        if not succeeded or any(map(_fails_the_request, results)):
            results.sort(key=_fails_the_request, reverse=True)
            self.gateway.raise_first(request, results)
        answers = [self._answer(request, result) for result in results]
        return json_response({"predictions" if by_row else "outputs": answers})

    async def _read_rows(self, request: Request) -> tuple[bool, Query, list[bytes]]:
        """Whether it is by row, the parameters, and the pictures. Body and text end with it."""
        limit = json_limit(self.settings.max_batch_bytes)
        body = await uploads.read_body(request, limit, request.state.reservation)
        content = await parse_json(body)
        query = parameters(content)
        by_row, values = _pictures(content)
        most = self.settings.max_batch_pictures
        if len(values) > most:
            raise TooLarge(f"There are {len(values)} instances; at most {most} in one request.")
        where = "instances" if by_row else "inputs"
        pictures = [await decode_base64(v, f"{where}[{i}]") for i, v in enumerate(values)]
        return by_row, query, pictures

    def _answer(self, request: Request, result: Result | BaseException) -> dict[str, Any]:
        """One row."""
        if isinstance(result, Result):
            self.gateway.count(result)
            return schemas.detections(result)
        self.gateway.count_rejected(request, [result])
        return {"error": problems.document(request, result)["detail"]}


def _fails_the_request(result: Result | BaseException) -> bool:
    """Whether the service is at fault, and not a picture."""
    refused = isinstance(result, DetectError) and not isinstance(result, Unavailable)
    return not (isinstance(result, Result) or refused)


def error_body(request: Request, status: int, detail: str) -> dict[str, Any]:
    return {"error": detail}


def _pictures(content: dict[str, Any]) -> tuple[bool, list[Any]]:
    """Whether it is by row, and the base64 text of each picture."""
    if "instances" in content:
        rows = content["instances"]
        if not isinstance(rows, list):
            raise MalformedBody("instances must be a list.")
        return True, [_text(row) for row in rows]
    if "inputs" not in content:
        raise MalformedBody("Missing 'inputs' or 'instances' key")
    column = content["inputs"]
    if isinstance(column, dict) and "b64" not in column and len(column) == 1:
        (column,) = column.values()
    return False, [_text(row) for row in (column if isinstance(column, list) else [column])]


def _text(row: Any) -> Any:
    """`"..."`, `{"b64": "..."}` or `{"any name": {"b64": "..."}}`."""
    for _ in range(2):
        if isinstance(row, dict) and len(row) == 1:
            (row,) = row.values()
    return row
