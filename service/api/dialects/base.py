"""What the dialects share: routes with errors in their own form, and the way to the detector."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from ...core.errors import BadParameter, DetectError
from ...detection.detector import Detector
from ...detection.models import Query, Result
from .. import openapi, problems
from ..requests.auth import APIKeyAuth
from ..requests.deadlines import cancel_on_disconnect, deadline
from ..routes import Gateway
from ..routing import DetectionRoute, DirectRoute

ErrorBody = Callable[[Request, int, str], dict[str, Any]]
"""From the HTTP status and the sentence of an error to the dialect's own error object."""

BASE64 = {"type": "string", "format": "byte"}
PATH_SCHEMAS = {"version": {"type": "string", "pattern": "^[0-9]{1,19}$"}}
ERRORS = (400, 401, 404, 408, 413, 415, 422, 503, 504)
MAX_JSON_OVERHEAD = 64 * 1024  # bytes of JSON around pictures in base64


class _OwnErrors(DirectRoute):
    """Errors have the form that `error_body` gives them."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Awaitable[Response]],
        error_body: ErrorBody,
        **options: Any,
    ) -> None:
        options.setdefault("responses", openapi.json_errors(*ERRORS))
        schemas = PATH_SCHEMAS | options.pop("path_schemas", {})
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": schemas[name]}
            for name in re.findall(r"{(\w+)}", path)
        ]
        if isinstance(self, DetectionRoute) and "{version}" not in path:
            parameters.append(openapi.MODEL_VERSION)
        options["openapi_extra"] = {"parameters": parameters} | options.get("openapi_extra", {})
        super().__init__(path, endpoint, **options)
        self._error_body = error_body

    async def _respond(self, request: Request) -> Response:
        try:
            return await super()._respond(request)
        except DetectError as error:
            problem = problems.document(request, error)
            content = self._error_body(request, problem["status"], problem["detail"])
            return json_response(content, problem["status"], problems.headers(error))


class DialectRoute(_OwnErrors, DetectionRoute):
    """A detection route of a dialect."""


class InfoRoute(_OwnErrors):
    """A route of a dialect that tells about the service or its model."""


class Dialect(ABC):
    """One other service's API. `auth` is None where no API keys are configured."""

    def __init__(self, gateway: Gateway, auth: APIKeyAuth | None) -> None:
        self.gateway = gateway
        self.settings = gateway.settings
        self.auth = auth

    def path_schemas(self, *more: str) -> dict[str, Any]:
        """OpenAPI's schemas of the path's parameters: the names of the models here."""
        names = {"type": "string", "enum": [*self.settings.model_names, *more]}
        return {"model": names, "name": names}

    @abstractmethod
    def routes(self) -> Iterable[DirectRoute]:
        """The API's routes."""

    def authorize(self, request: Request, key: str = "") -> None:
        """Checks the key of the headers, else `key`. Raises Unauthorized."""
        if self.auth is not None:
            self.auth.authorize(request, self.auth.header_key(request) or key)

    async def detect_picture(
        self, request: Request, detector: Detector, data: bytes, query: Query, started: float
    ) -> Result:
        """One picture's detections. `started`: `time.perf_counter()` when the request came."""
        timings = request.state.timings
        fields = request.state.fields
        uploaded = timings.since(started, "upload")
        until = deadline(request, started, uploaded, self.settings.deadline_s)
        fields["bytes"] = len(data)
        route = self.gateway.route(request, detector)
        work = self.gateway.detect_with(request, detector, route, data, query, until, timings)
        result = await cancel_on_disconnect(request, work)
        fields |= {"detections": len(result.detections), "version": result.version}
        self.gateway.count(result)
        return result


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(to_json(content), status, headers, "application/json")


def json_limit(picture_bytes: int) -> int:
    """Most bytes of a JSON body with pictures of `picture_bytes` in base64."""
    return picture_bytes * 4 // 3 + MAX_JSON_OVERHEAD


def parameters(content: dict[str, Any]) -> Query:
    """`parameters`: score_threshold and max_detections, both optional. Others are errors."""
    given = content.get("parameters") or {}
    if not isinstance(given, dict):
        raise BadParameter("parameters must be an object.")
    most = number(given, "max_detections", 1, 100, 100)
    if most != int(most):
        raise BadParameter("max_detections must be a whole number.")
    return Query(number(given, "score_threshold", 0, 1, 0.25), int(most), frozenset())


def number(content: dict[str, Any], name: str, low: float, high: float, default: float) -> float:
    """An optional number of a JSON object. Raises BadParameter if it is out of range."""
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadParameter(f"{name} must be a number from {low:g} to {high:g}.")
    return float(value)
