"""The table of gRPC status codes, and the messages that override it."""

import grpc
import pytest
from grpc import StatusCode as Code

from service.backend.status_codes import ERRORS, is_out_of_threads, is_unreachable, translate
from service.core import errors

THREADS = "Server Threadpool Exhausted"
FULL = "The batch scheduling queue to which this task was submitted is full; currently 8 batches"


def failure(code: Code, words: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), words)


def test_every_status_code_has_an_error() -> None:
    assert set(ERRORS) == set(Code) - {Code.OK}


@pytest.mark.parametrize(
    ("code", "words", "kind", "says"),
    [
        *(
            (Code.INVALID_ARGUMENT, words, errors.BackendFailed, "signature")
            for words in (
                "input tensor alias not found in signature: image",
                "Signature input alias: input_1(input_1:0) not found in request's inputs",
                "Expects arg[0] to be float but string is provided",
            )
        ),
        (Code.UNAVAILABLE, FULL, errors.Full, "no room"),
        (Code.RESOURCE_EXHAUSTED, THREADS, errors.Full, "no free gRPC thread"),
        (
            Code.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (2000000 vs. 1048576)",
            errors.BackendFailed,
            "signature",
        ),
    ],
)
def test_message_overrides(
    code: Code, words: str, kind: type[errors.DetectError], says: str
) -> None:
    trouble = translate(failure(code, words))
    assert type(trouble) is kind
    assert says in str(trouble)
    assert type(translate(failure(code, "other words"))) is ERRORS[code][0]


@pytest.mark.parametrize("code", ERRORS)
def test_only_unavailable_is_unreachable_unless_the_queue_is_full(code: Code) -> None:
    assert is_unreachable(failure(code, "Connection refused")) == (code is Code.UNAVAILABLE)
    assert not is_unreachable(failure(code, FULL))
    assert is_out_of_threads(failure(code, THREADS)) == (code is Code.RESOURCE_EXHAUSTED)
    assert not is_out_of_threads(failure(code, "other words"))
