"""Translates failed gRPC calls into the gateway's errors: one table of status codes."""

import grpc
from grpc import StatusCode as Code

from ..core.errors import BackendFailed, BadPicture, DeadlineExceeded, DetectError, Full, NoBackend
from .codec import WRONG_SIGNATURE

# Error and message for the client, by gRPC status code. The server's own message is only logged:
# it names nodes of the graph.
ERRORS: dict[Code, tuple[type[DetectError], str]] = {
    Code.INVALID_ARGUMENT: (BadPicture, "The picture's data is damaged or ends early."),
    Code.NOT_FOUND: (NoBackend, "The model server does not serve this model or version."),
    Code.UNAVAILABLE: (NoBackend, "The model server cannot be reached."),
    Code.RESOURCE_EXHAUSTED: (Full, "The model server has no room for another request."),
    Code.DEADLINE_EXCEEDED: (DeadlineExceeded, "The model server did not answer in time."),
    Code.CANCELLED: (NoBackend, "The call to the model server was cancelled."),
    Code.FAILED_PRECONDITION: (BackendFailed, "The model server cannot run this model."),
    Code.UNIMPLEMENTED: (
        BackendFailed,
        "The backend is not a TensorFlow Serving prediction server.",
    ),
    Code.PERMISSION_DENIED: (BackendFailed, "The model server refused this gateway."),
    Code.UNAUTHENTICATED: (BackendFailed, "The model server refused this gateway."),
    Code.INTERNAL: (BackendFailed, "The model server failed."),
    Code.UNKNOWN: (BackendFailed, "The model server failed."),
    Code.DATA_LOSS: (BackendFailed, "The model server failed."),
    Code.ABORTED: (BackendFailed, "The model server failed."),
    Code.OUT_OF_RANGE: (BackendFailed, "The model server failed."),
    Code.ALREADY_EXISTS: (BackendFailed, "The model server failed."),
}

# gRPC's words when a call would exceed the server's --grpc_max_threads (server_builder.cc). It is
# refused before any work is done.
OUT_OF_THREADS = "threadpool exhausted"

# TensorFlow Serving's words for a label that its configuration does not have (server_core.cc).
UNKNOWN_LABEL = "unrecognized servable version label"

# Where the status code alone misleads: a part of the server's message, and the error it means.
MESSAGE_OVERRIDES: list[tuple[Code, str, tuple[type[DetectError], str]]] = [
    # A wrong model, reported as if the request were wrong (predict_util.cc, direct_session.cc).
    (Code.INVALID_ARGUMENT, "signature", (BackendFailed, WRONG_SIGNATURE)),
    (Code.INVALID_ARGUMENT, "input alias", (BackendFailed, WRONG_SIGNATURE)),
    (Code.INVALID_ARGUMENT, "expects arg", (BackendFailed, WRONG_SIGNATURE)),
    (Code.INVALID_ARGUMENT, UNKNOWN_LABEL, ERRORS[Code.NOT_FOUND]),
    # The model's weights or precision, not the picture (yolov4/export/saved_model.py).
    (
        Code.INVALID_ARGUMENT,
        "not finite",
        (BackendFailed, "The model's output contains NaN or infinity."),
    ),
    # Alive and busy (shared_batch_scheduler.h): neither ejected nor retried.
    (
        Code.UNAVAILABLE,
        "queue to which this task was submitted",
        ERRORS[Code.RESOURCE_EXHAUSTED],
    ),
    (
        Code.RESOURCE_EXHAUSTED,
        OUT_OF_THREADS,
        (Full, "The model server has no free gRPC thread for another request."),
    ),
    # gRPC's client side: the response is larger than any detector's.
    (Code.RESOURCE_EXHAUSTED, "received message larger than max", (BackendFailed, WRONG_SIGNATURE)),
]


def translate(error: grpc.aio.AioRpcError) -> DetectError:
    """The error to show to the client for a failed call."""
    code = error.code()
    message = (error.details() or "").lower()
    overrides = (meant for of, part, meant in MESSAGE_OVERRIDES if of is code and part in message)
    kind, sentence = next(overrides, ERRORS[code])
    return kind(sentence)


def is_unknown_version(error: grpc.aio.AioRpcError) -> bool:
    """Whether the server does not serve this model, version or label."""
    unknown_label = UNKNOWN_LABEL in (error.details() or "").lower()
    return error.code() is Code.NOT_FOUND or unknown_label


def is_unreachable(error: grpc.aio.AioRpcError) -> bool:
    """Whether the server did not receive the call, so that another server may answer it."""
    return error.code() is Code.UNAVAILABLE and isinstance(translate(error), NoBackend)


def is_out_of_threads(error: grpc.aio.AioRpcError) -> bool:
    """Whether the server refused the call because all of its gRPC threads are in use."""
    message = (error.details() or "").lower()
    return error.code() is Code.RESOURCE_EXHAUSTED and OUT_OF_THREADS in message
