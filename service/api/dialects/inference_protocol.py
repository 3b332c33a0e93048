"""The Open Inference Protocol, version 2: KServe's and Triton's REST API.

https://github.com/kserve/open-inference-protocol. The model has one input, `image` (BYTES, [1]),
and four outputs, boxes in pixels of the picture as shown. Requests may use Triton's binary
extension; answers are JSON, which its clients accept too.
"""

from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ... import __version__ as VERSION
from ...core.errors import UnsupportedMedia
from ...detection.detector import Detector
from .. import openapi
from ..requests import model_version, uploads
from ..routing import DirectRoute
from .base import Dialect, DialectRoute, InfoRoute, json_limit, json_response, parameters
from .instances import error_body
from .tensors import (
    HEADER,
    INPUT,
    MAX_HEADER,
    OUTPUTS,
    TENSORS,
    output,
    read_request,
    wanted_outputs,
)

TRITON_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32", "INT64": "TYPE_INT64"}


class InferenceProtocol(Dialect):
    def routes(self) -> Iterator[DirectRoute]:
        tags: list[Any] = ["Open Inference Protocol"]
        names = self.path_schemas()
        get = partial(
            InfoRoute, error_body=error_body, methods=["GET"], tags=tags, path_schemas=names
        )
        post = partial(
            DialectRoute, error_body=error_body, methods=["POST"], tags=tags, path_schemas=names
        )
        post = partial(post, openapi_extra=openapi.json_body("inputs", inputs=TENSORS))
        yield get("/v2", self.server, summary="Server metadata")
        yield get("/v2/health/live", self.live, summary="Liveness")
        yield get("/v2/health/ready", self.ready, summary="Readiness")
        yield get("/v2/models", self.models, summary="Names of the models")
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            yield get(model, self.metadata, summary="Model metadata")
            yield get(f"{model}/ready", self.model_ready, summary="Model readiness")
            yield get(f"{model}/config", self.config, summary="Triton's model configuration")
            yield post(f"{model}/infer", self.infer, summary="Detect objects")

    async def server(self, request: Request) -> Response:
        """Name, version and extensions of the server."""
        extensions = ["binary_tensor_data"]
        return json_response({"name": "detect", "version": VERSION, "extensions": extensions})

    async def live(self, request: Request) -> Response:
        """200 while the process runs."""
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 when all models are served."""
        await self.gateway.readyz()
        return json_response({"live": True, "ready": True})

    async def models(self, request: Request) -> Response:
        """KServe's list of models."""
        return json_response({"models": self.settings.model_names})

    async def model_ready(self, request: Request) -> Response:
        """200 when this version of the model is served."""
        detector, _ = await self._version(request)
        return json_response({"name": detector.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """Inputs and outputs; a length of -1 is the number of detections."""
        detector, version = await self._version(request)
        outputs = [
            {"name": name, "datatype": datatype, "shape": [-1, columns] if columns else [-1]}
            for name, (datatype, columns) in OUTPUTS.items()
        ]
        return json_response(
            {
                "name": detector.name,
                "versions": [str(version)],
                "platform": "tensorflow_savedmodel",
                "inputs": [INPUT],
                "outputs": outputs,
            }
        )

    async def config(self, request: Request) -> Response:
        """What Triton's perf_analyzer reads."""
        detector, _ = await self._version(request)
        outputs = [
            {
                "name": name,
                "data_type": TRITON_TYPES[datatype],
                "dims": [-1, columns] if columns else [-1],
            }
            for name, (datatype, columns) in OUTPUTS.items()
        ]
        return json_response(
            {
                "name": detector.name,
                "platform": "tensorflow_savedmodel",
                "backend": "tensorflow",
                "max_batch_size": 0,
                "input": [{"name": "image", "data_type": "TYPE_STRING", "dims": [1]}],
                "output": outputs,
            }
        )

    async def infer(self, request: Request) -> Response:
        """Detections of one picture. `parameters` may hold score_threshold and max_detections."""
        self.authorize(request)
        started = perf_counter()
        detector = self.gateway.detector(request, request.path_params["model"])
        if request.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMedia("Compressed requests are not supported.")
        limit = max(json_limit(self.settings.max_upload_bytes), MAX_HEADER)
        body = await uploads.read_body(request, limit, request.state.reservation)
        content, picture = await read_request(body, request.headers.get(HEADER))
        del body
        query = parameters(content)
        names = wanted_outputs(content)
        result = await self.detect_picture(request, detector, picture, query, started)
        answer = {
            "model_name": detector.name,
            "model_version": str(result.version),
            "outputs": [output(name, result) for name in names],
        }
        if "id" in content:
            answer["id"] = content["id"]
        return json_response(answer)

    async def _version(self, request: Request) -> tuple[Detector, int]:
        """The model that the path names, and its version. Raises NotFound."""
        detector = self.gateway.detector(request, request.path_params["model"])
        return detector, await detector.ready(model_version.in_path(request))
