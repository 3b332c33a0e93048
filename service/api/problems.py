"""Errors as HTTP: one table, and RFC 9457's `application/problem+json` around it."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .. import errors
from ..errors import DetectError
from ..responses import (
    CSP,
    CSP_DENY_ALL,
    PROBLEM_MEDIA_TYPE,
    SECURITY_HEADERS,
    problem_document,
)

STATUS: dict[type[DetectError], int] = {
    errors.BadPicture: 400,
    errors.MalformedBody: 400,
    errors.Unauthorized: 401,
    errors.SlowUpload: 408,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.BadParameter: 422,
    errors.Full: 503,
    errors.Draining: 503,
    errors.NoBackend: 503,
    errors.BackendFailed: 503,
    errors.DeadlineExceeded: 504,
}
CLIENT_GONE = 499  # nobody receives it; the log and the metrics show it


def slug(error: DetectError) -> str:
    """BadPicture -> bad-picture: the problem's type, and the reason in `detect_rejected_total`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()


def problem(request: Request, status: int, kind: str, detail: str) -> dict[str, Any]:
    return problem_document(request.state.request_id, status, kind, detail)


def of_error(request: Request, error: DetectError) -> dict[str, Any]:
    """The problem a DetectError is; the log line of its request says the same and its cause."""
    found = problem(request, STATUS[type(error)], slug(error), str(error))
    fields = request.state.fields
    if "error" not in fields:  # of a batch, the first
        fields["error"] = str(error)
        if words := cause(error):
            fields["cause"] = words
    return found


def cause(error: DetectError) -> str | None:
    """What the model server said, for the log."""
    details = getattr(error.__cause__, "details", None)
    return str(details())[:500] if callable(details) else None


def response(content: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), content["status"], headers, PROBLEM_MEDIA_TYPE)


def _sentence(error: Mapping[str, Any]) -> str:
    name = next(part for part in reversed(error["loc"]) if isinstance(part, str))
    if error["type"] == "extra_forbidden":
        return f"There is no parameter {name!r} here"
    return f"{name}: {error['msg']}"


def install(app: FastAPI) -> None:
    """Every way a request can fail ends in a problem."""

    async def on_detect_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, DetectError)
        found = of_error(request, error)
        if isinstance(error, errors.Unavailable):
            return response(found, {"Retry-After": str(error.retry_after_s)})
        if isinstance(error, errors.Unauthorized):
            return response(found, {"WWW-Authenticate": "Bearer"})
        return response(found)

    async def on_bad_parameter(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        sentences = "; ".join(map(_sentence, error.errors()))
        request.state.fields["error"] = sentences
        return response(problem(request, 422, "bad-parameter", sentences + "."))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = str(error.detail).lower().replace(" ", "-")
        detail = f"{request.method} {request.scope['path']}: {error.detail}. See /docs."
        return response(problem(request, error.status_code, kind, detail), error.headers)

    async def on_gone(request: Request, _: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    async def on_bug(request: Request, _: Exception) -> Response:
        detail = "The gateway failed; its log has the traceback under this request_id."
        # This answer is made outside of ObservabilityMiddleware, which sets them on all others.
        own = {"X-Request-ID": request.state.request_id, CSP: CSP_DENY_ALL, **SECURITY_HEADERS}
        return response(problem(request, 500, "internal-error", detail), own)

    app.add_exception_handler(DetectError, on_detect_error)
    app.add_exception_handler(RequestValidationError, on_bad_parameter)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_gone)
    app.add_exception_handler(Exception, on_bug)
