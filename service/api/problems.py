"""Errors as HTTP responses: the status of each error, and RFC 9457 problem documents."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from ..core import errors
from ..core.errors import DetectError
from ..core.responses import (
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
    errors.NotFound: 404,
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
CLIENT_CLOSED_REQUEST = 499  # never received; shown in the log and the metrics
BUG = "The gateway failed; its log has the traceback under this request_id."


def reason(error: BaseException) -> str:
    """BadPicture -> bad-picture: the problem's type, and the reason in `detect_rejected_total`."""
    if isinstance(error, DetectError):
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return "client-disconnect" if isinstance(error, ClientDisconnect) else "internal-error"


def document(request: Request, error: BaseException) -> dict[str, Any]:
    """The problem document of an error, which also goes into the request's log line."""
    status, detail = 500, BUG
    if isinstance(error, DetectError):
        status, detail = STATUS[type(error)], str(error)
    request.state.problem = reason(error)
    fields = request.state.fields
    if "error" not in fields:  # of a batch, the first
        fields["error"] = detail
        if words := cause(error):
            fields["cause"] = words
    return problem_document(request.state.request_id, status, request.state.problem, detail)


def cause(error: BaseException) -> str | None:
    """What the model server said, for the log."""
    details = getattr(error.__cause__, "details", None)
    return str(details())[:500] if callable(details) else None


def headers(error: BaseException) -> dict[str, str]:
    """The response headers that belong to an error."""
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, errors.Unauthorized) else {}


def response(content: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), content["status"], headers, PROBLEM_MEDIA_TYPE)


def _methods(request: Request) -> set[str]:
    """Of the path's own routes: a parameter of another path may match it too, but comes later."""
    routes = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
    own = (route for route in routes if route.path == routes[0].path)
    return {method for route in own for method in getattr(route, "methods", None) or ()}


def install(app: FastAPI) -> None:
    """Every failure of a request becomes a problem document."""

    async def on_detect_error(request: Request, error: Exception) -> Response:
        content = document(request, error)
        if request.headers.get("content-type", "").lower().startswith("application/json"):
            # May be a DOODS client, which looks for `error`; others find the usual problem.
            content["error"] = content["detail"]
        return response(content, headers(error))

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = str(error.detail).lower().replace(" ", "-")
        detail = f"{request.method} {request.scope['path']}: {error.detail}. See /docs."
        content = problem_document(request.state.request_id, error.status_code, kind, detail)
        if error.status_code == 405:  # a path may have a route for each of its methods
            return response(content, {"Allow": ", ".join(sorted(_methods(request)))})
        return response(content, error.headers)

    async def on_disconnect(request: Request, _: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    async def on_bug(request: Request, error: Exception) -> Response:
        # This response is made outside of the middleware that sets these on all others. It is the
        # connection's last: uvicorn then gets the error and closes the connection.
        own = {"X-Request-ID": request.state.request_id, CSP: CSP_DENY_ALL, "Connection": "close"}
        return response(document(request, error), own | SECURITY_HEADERS)

    app.add_exception_handler(DetectError, on_detect_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Exception, on_bug)
