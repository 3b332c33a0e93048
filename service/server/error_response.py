"""Responses to malformed requests, encoded without the application: there is nothing to route."""

import os
from collections.abc import Iterable
from http import HTTPStatus

from pydantic_core import to_json

from ..core.responses import PROBLEM_MEDIA_TYPE, SECURITY_HEADERS_RAW, problem_document


def encode(
    status: HTTPStatus,
    detail: str,
    headers: Iterable[tuple[bytes, bytes]],
    retry_after_s: int | None,
) -> bytes:
    """The whole response, which is the last one on its connection."""
    request_id = os.urandom(16).hex()
    kind = status.phrase.lower().replace(" ", "-")
    content = to_json(problem_document(request_id, status.value, kind, detail))
    fields = [
        *headers,
        *SECURITY_HEADERS_RAW,
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
    ]
    if retry_after_s is not None:
        fields.append((b"retry-after", b"%d" % retry_after_s))
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    first = b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    return first + head + b"\r\n" + content
