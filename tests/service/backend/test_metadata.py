"""The `metadata` signature: what is read of it, and what happens where it is missing or wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from service.backend import messages as m
from service.backend.metadata import fetch
from service.detection.models import ModelInfo


def answer(labels: list[bytes], about: bytes) -> bytes:
    response = m.PredictResponse()
    response.outputs["class_names"].string_val.extend(labels)
    response.outputs["about"].string_val.append(about)
    return bytes(response.SerializeToString())


def ask(outcome: bytes | grpc.StatusCode) -> ModelInfo | None:
    async def predict(request: bytes, timeout: float) -> bytes:
        spec = m.PredictRequest.FromString(request).model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("yolov4", 7, "metadata")
        if isinstance(outcome, bytes):
            return outcome
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(outcome, nothing, nothing, "words")

    call: Callable[..., Awaitable[Any]] = predict
    return asyncio.run(fetch(call, "yolov4", 7, 1.0))


def test_labels_and_the_rest() -> None:
    info = ask(answer([b"dog", "ö".encode()], b'{"precision": "bfloat16"}'))
    assert info == ModelInfo(7, ("dog", "ö"), precision="bfloat16")
    whole = b'{"input": {"width": 608, "height": 416}, "precision": "float32", "target": "g4"}'
    assert ask(answer([b"dog"], whole)) == ModelInfo(7, ("dog",), (608, 416), "float32", "g4")


@pytest.mark.parametrize(
    "outcome",
    [
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        b"\xff no message",
        answer([b"dog"], b"no JSON"),
        answer([b"dog"], b"[1]"),
        answer([b"dog"], b'{"input": [1, 2]}'),
        answer([b"dog"], b'{"input": {"width": "wide", "height": 1}}'),
        answer([], b"{}"),
    ],
    ids=["precondition", "argument", "bytes", "text", "list", "input", "width", "nothing"],
)
def test_a_model_that_does_not_tell(outcome: bytes | grpc.StatusCode) -> None:
    assert ask(outcome) == ModelInfo(7)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_cannot_answer_now_is_asked_again(code: grpc.StatusCode) -> None:
    assert ask(code) is None
