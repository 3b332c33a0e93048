"""Requests to the service and their answers, for the blocking and the asynchronous client alike."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx

from .errors import (
    ConnectionFailed,
    DeadlineExceeded,
    DetectError,
    UnexpectedAnswer,
    from_problem,
    from_response,
)
from .pictures import media_type
from .results import Model, Result, from_json


def parameters(
    score_threshold: float | None, max_detections: int | None, labels: Iterable[str]
) -> list[tuple[str, str]]:
    """The query; what is None is the service's default."""
    query = [("label", label) for label in labels]
    if score_threshold is not None:
        query.append(("score_threshold", repr(float(score_threshold))))
    if max_detections is not None:
        query.append(("max_detections", str(max_detections)))
    return query


def base_url(url: str, model: str | None) -> str:
    """The address whose `detect` asks `model`."""
    return url if model is None else f"{url.rstrip('/')}/models/{quote(model, safe='')}"


def headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def detect(http: Any, data: bytes, query: list[tuple[str, str]]) -> httpx.Request:
    """`POST /detect` with the picture as the body."""
    return _build(http, "detect", query, content=data, headers={"Content-Type": media_type(data)})


def detect_batch(http: Any, pictures: list[bytes], query: list[tuple[str, str]]) -> httpx.Request:
    """`POST /detect/batch` with a part named `image` for each picture."""
    parts = [("image", (str(i), data, media_type(data))) for i, data in enumerate(pictures)]
    return _build(http, "detect/batch", query, files=parts)


def model(http: Any) -> httpx.Request:
    """`GET /model`."""
    request: httpx.Request = http.build_request("GET", "model")
    return request


def _build(http: Any, path: str, query: list[tuple[str, str]], **more: Any) -> httpx.Request:
    request: httpx.Request = http.build_request("POST", path, params=query, **more)
    request.headers.update(trace_context())
    return request


def trace_context() -> dict[str, str]:
    """The headers that continue the caller's trace, if its program uses OpenTelemetry."""
    carrier: dict[str, str] = {}
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


def within(request: httpx.Request, remaining_s: float) -> httpx.Request:
    """The same request for an attempt that may take `remaining_s`: the service stops then too."""
    request.headers["X-Timeout-Ms"] = str(max(1, min(math.ceil(remaining_s * 1000), 999_999_999)))
    request.extensions["timeout"] = httpx.Timeout(remaining_s).as_dict()
    return request


def transport_error(error: httpx.TransportError, request: httpx.Request) -> DetectError:
    """What httpx raises, as one of ours."""
    where = f"{request.url.scheme}://{request.url.netloc.decode()}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(f"{where} cannot be reached ({error}). Is the service running?")
    if isinstance(error, httpx.TimeoutException):
        return DeadlineExceeded(f"{where} did not answer in time.")
    return ConnectionFailed(f"The connection to {where} broke ({error or type(error).__name__}).")


def result(response: httpx.Response, picture: bytes) -> Result:
    """The detections of `POST /detect`. Raises a DetectError for every other answer."""
    return from_json(
        _content(response),
        request_id=response.headers.get("x-request-id", ""),
        timings_ms=_timings(response.headers.get("server-timing", "")),
        picture=picture,
    )


def results(response: httpx.Response, pictures: list[bytes]) -> list[Result | DetectError]:
    """The answers of `POST /detect/batch`, in the order of `pictures`."""
    content = _content(response)
    rows = content.get("results") if isinstance(content, dict) else None
    if not isinstance(rows, list) or len(rows) != len(pictures):
        raise UnexpectedAnswer("The answer is not that of a batch.")
    return [
        from_problem(int(row["error"].get("status", 400)), row["error"], None)
        if "error" in row
        else from_json(row, picture=picture)
        for row, picture in zip(rows, pictures, strict=True)
    ]


def model_result(response: httpx.Response) -> Model:
    """The answer of `GET /model`."""
    content = _content(response)
    try:
        labels = tuple(map(str, content["labels"] or ()))
        return Model(str(content["name"]), int(content["version"]), labels)
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"The answer is not a model's description: {error!r}.") from error


def _content(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise from_response(response)
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.request.url} did not answer with JSON.") from error


def _timings(header: str) -> dict[str, float]:
    """`upload;dur=1.20, backend;dur=30.00` as milliseconds by part."""
    parts = (part.strip().partition(";dur=") for part in header.split(","))
    return {name: float(ms) for name, found, ms in parts if found and ms.replace(".", "").isdigit()}
