"""What a failed gRPC call means: the picture's fault, worth another attempt, or the job's end."""

from __future__ import annotations

import grpc
from grpc import StatusCode as Code

from ....errors import (
    ConnectionFailed,
    DeadlineExceeded,
    DetectError,
    InvalidPicture,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from .codec import WRONG_SIGNATURE
from .image import DAMAGED


class Refused(InvalidPicture):
    """By its decoder: this picture is damaged, or another of its batch."""


ERRORS: dict[Code, tuple[type[DetectError], str]] = {
    Code.INVALID_ARGUMENT: (Refused, DAMAGED),
    Code.NOT_FOUND: (Unavailable, "The model server does not serve this model or version"),
    Code.UNAVAILABLE: (ConnectionFailed, "The model server cannot be reached"),
    Code.RESOURCE_EXHAUSTED: (Unavailable, "The model server has no room for another request"),
    Code.DEADLINE_EXCEEDED: (DeadlineExceeded, "The model server did not answer in time."),
    Code.CANCELLED: (ConnectionFailed, "The call was cancelled"),
    Code.PERMISSION_DENIED: (Unauthorized, "The model server refused this client"),
    Code.UNAUTHENTICATED: (Unauthorized, "The model server refused this client"),
    Code.UNIMPLEMENTED: (UnexpectedAnswer, "This is not a TensorFlow Serving prediction server"),
    Code.FAILED_PRECONDITION: (UnexpectedAnswer, "The model server cannot run this model"),
}
FAILED = (Unavailable, "The model server failed")

# Where the status code alone misleads: a part of the server's message, and the error it means.
OVERRIDES: list[tuple[Code, str, tuple[type[DetectError], str]]] = [
    (Code.INVALID_ARGUMENT, "signature", (UnexpectedAnswer, WRONG_SIGNATURE)),
    (Code.INVALID_ARGUMENT, "input alias", (UnexpectedAnswer, WRONG_SIGNATURE)),
    (Code.INVALID_ARGUMENT, "expects arg", (UnexpectedAnswer, WRONG_SIGNATURE)),
    (
        Code.INVALID_ARGUMENT,
        "not finite",
        (UnexpectedAnswer, "The model's output contains NaN or infinity"),
    ),
    (
        Code.UNAVAILABLE,  # a full batch queue: alive
        "queue to which this task was submitted",
        ERRORS[Code.RESOURCE_EXHAUSTED],
    ),
    # gRPC prefixes whose limit it is; older servers do not.
    (
        Code.RESOURCE_EXHAUSTED,
        "client: received message larger",
        (UnexpectedAnswer, WRONG_SIGNATURE),
    ),
    (
        Code.RESOURCE_EXHAUSTED,
        "message larger than max",
        (InvalidPicture, "The picture is larger than the model server's limit of a gRPC message"),
    ),
]


def translate(error: grpc.aio.AioRpcError) -> DetectError:
    """What retry.py repeats is Unavailable or ConnectionFailed. The server's own words are quoted,
    but for a damaged picture's: they name nodes of the graph."""
    code, details = error.code(), error.details() or ""
    meant = (m for of, part, m in OVERRIDES if of is code and part in details.lower())
    kind, sentence = next(meant, ERRORS.get(code, FAILED))
    if not sentence.endswith("."):
        sentence = f"{sentence}: {' '.join(details.split())[:200] or code.name}"
    return kind(sentence, kind=code.name.lower())
