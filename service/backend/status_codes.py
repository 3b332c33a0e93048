"""What a failed gRPC call is to the caller: one table of status codes."""

import grpc
from grpc import StatusCode as Code

from ..errors import BackendFailed, BadPicture, DeadlineExceeded, DetectError, Full, NoBackend
from .codec import NOT_OURS

# Every gRPC code, as the caller's trouble and a sentence for them. What the server itself said goes
# to the log: it names nodes of the graph.
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

# Where the code alone misleads: a sign in the server's words, and what it means.
ROOMLESS = (Full, ERRORS[Code.RESOURCE_EXHAUSTED][1])
SIGNS: list[tuple[Code, str, tuple[type[DetectError], str]]] = [
    # The operator's model, reported as the caller's mistake (predict_util.cc, direct_session.cc).
    (Code.INVALID_ARGUMENT, "signature", (BackendFailed, NOT_OURS)),
    (Code.INVALID_ARGUMENT, "input alias", (BackendFailed, NOT_OURS)),
    (Code.INVALID_ARGUMENT, "expects arg", (BackendFailed, NOT_OURS)),
    # Alive and busy (shared_batch_scheduler.h): neither to be left out nor to be asked again.
    (Code.UNAVAILABLE, "queue to which this task was submitted", ROOMLESS),
    # Said by gRPC on this side, of an answer that no detector gives.
    (Code.RESOURCE_EXHAUSTED, "received message larger than max", (BackendFailed, NOT_OURS)),
]


def translated(error: grpc.aio.AioRpcError) -> DetectError:
    """The caller's view of a failed call."""
    code = error.code()
    words = (error.details() or "").lower()
    signs = (meant for of, sign, meant in SIGNS if of is code and sign in words)
    kind, sentence = next(signs, ERRORS[code])
    return kind(sentence)


def unreachable(error: grpc.aio.AioRpcError) -> bool:
    """Whether its server was not there: another may be, or the same a little later."""
    return error.code() is Code.UNAVAILABLE and isinstance(translated(error), NoBackend)
