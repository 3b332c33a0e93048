"""Errors of the service and of the way to it, as exception classes.

DetectError
├── InvalidPicture     400, 408, 413, 415: this picture was refused; another one may work
├── InvalidParameter   422: a parameter is out of range, or not one of the service's
├── Unauthorized       401, 403: no API key, or one that is not known
├── Unavailable        429, 502, 503: overloaded, draining or without a model server
├── DeadlineExceeded   504, or no answer within `timeout_s`
├── ConnectionFailed   the service could not be reached
└── UnexpectedAnswer   anything else: most likely the URL is not that of a detection service
"""

from __future__ import annotations

import json
import math
from typing import Any

import httpx


class DetectError(Exception):
    """The message is the service's own sentence.

    Attributes:
        status: HTTP status code, or None where there was no answer.
        kind: The problem's type, for example `bad-picture` or `full`.
        request_id: What to look for in the service's log.
        retry_after_s: Seconds after which the service suggests another try, or None.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        kind: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class InvalidPicture(DetectError):
    """The picture cannot be decoded, is too large, or is of a format that is not served."""


class InvalidParameter(DetectError):
    """A parameter is out of range, or unknown."""


class Unauthorized(DetectError):
    """The API key is missing or not known."""


class Unavailable(DetectError):
    """The service is overloaded, draining, or has no model server."""


class DeadlineExceeded(DetectError):
    """No answer in time."""


class ConnectionFailed(DetectError):
    """The service could not be reached, or the connection broke."""


class UnexpectedAnswer(DetectError):
    """The answer is not one of the detection service's."""


BY_STATUS: dict[int, type[DetectError]] = {
    **dict.fromkeys((400, 408, 413, 415), InvalidPicture),
    **dict.fromkeys((401, 403), Unauthorized),
    422: InvalidParameter,
    **dict.fromkeys((429, 502, 503), Unavailable),
    504: DeadlineExceeded,
}


def from_problem(status: int, problem: dict[str, Any], retry_after_s: float | None) -> DetectError:
    """The exception for an `application/problem+json` document (RFC 9457)."""
    kind = str(problem.get("type", "")).removeprefix("urn:problem:")
    detail = str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")
    error = BY_STATUS.get(status, UnexpectedAnswer)
    return error(detail, status, kind, str(problem.get("request_id", "")), retry_after_s)


def from_response(response: httpx.Response) -> DetectError:
    """The exception for an answer whose status is not 200; what a proxy says is quoted."""
    retry_after_s = parse_retry_after(response.headers.get("retry-after"))
    try:
        problem = json.loads(response.content)
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "detail" in problem:
        return from_problem(response.status_code, problem, retry_after_s)
    text = " ".join(response.text.split())[:200]
    message = f"{response.request.url} answered {response.status_code}, not in the service's form"
    error = BY_STATUS.get(response.status_code, UnexpectedAnswer)
    return error(f"{message}: {text}", response.status_code, retry_after_s=retry_after_s)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds; a date, which the service never sends, counts as absent."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
