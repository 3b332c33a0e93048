"""FastAPI routes without its dependency solver: declared for OpenAPI, dispatched by Starlette.

The solver takes 60 µs a request, more than any other step of the gateway. There are two
dependencies here: the API key, and the query, which its own model validates.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, get_args, get_origin

from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..core.errors import BadParameter
from .requests.memory_budget import Reservation


class DirectRoute(APIRoute):
    """Its endpoint takes `request`, and perhaps `query: Annotated[SomeModel, Query()]`, or nothing.

    Its `dependencies`, plain functions, get the request first.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any):
        super().__init__(path, endpoint, **options)
        parameters = inspect.signature(endpoint).parameters
        query = parameters.get("query")
        self._takes_request = "request" in parameters
        self._model: type[BaseModel] | None = get_args(query.annotation)[0] if query else None
        self._checks = [d.dependency for d in self.dependencies if d.dependency is not None]
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        for check in self._checks:
            check(request)
        if self._model is None:
            arguments = (request,) if self._takes_request else ()
            response: Response = await self.endpoint(*arguments)
            return response
        response = await self.endpoint(request, parse_query(self._model, request))
        return response


class DetectionRoute(DirectRoute):
    """Counts rejections, and holds `request.state.reservation` until the response is sent; then
    calls `request.state.after_response`."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any):
        super().__init__(path, endpoint, **options)
        self._unreserved = self.app
        self.app = self._reserved

    async def _reserved(self, scope: Scope, receive: Receive, send: Send) -> None:
        with Reservation(scope["app"].state.gateway.memory) as reservation:
            scope["state"]["reservation"] = reservation
            await self._unreserved(scope, receive, send)
        for call in scope["state"].get("after_response", ()):
            call()

    async def _respond(self, request: Request) -> Response:
        try:
            return await super()._respond(request)
        except Exception as error:
            request.app.state.gateway.count_rejected(request, [error])
            raise


def parse_query(model: type[BaseModel], request: Request) -> BaseModel:
    """The URL's query as `model`; a list field takes every value of its name.

    Raises BadParameter with one sentence for each parameter that is unknown, repeated or invalid.
    """
    if not request.scope["query_string"]:
        return _defaults(model)
    values: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise BadParameter(f"{name[:80]}: May be given only once.")
        else:
            values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        sentences = (_sentence(model, e["type"], e["loc"], e["msg"]) for e in error.errors())
        raise BadParameter("; ".join(list(sentences)[:5]) + ".") from error


@cache
def _defaults(model: type[BaseModel]) -> BaseModel:
    return model.model_validate({})


def _sentence(model: type[BaseModel], kind: str, where: tuple[int | str, ...], text: str) -> str:
    name = next(part for part in reversed(where) if isinstance(part, str))
    if kind == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"There is no parameter {name[:80]!r} here, only {known}"
    return f"{name}: {text}"
