"""What the model server may send, and what is not detections."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from service.backend import messages as m
from service.backend.codec import decode_response, request_encoder, strings
from service.core.errors import BackendFailed
from tests.support.fakes.fake_backend import CAT, DOG, MOUSE, Row, answer

DT_DOUBLE, DT_INT64 = 2, 9  # types.proto


def test_long_strings_as_bytes() -> None:
    tensor = m.TensorProto()
    tensor.tensor_shape.dim.add(size=3)
    words = [b"x" * 300, b"", b"dog"]
    tensor.tensor_content = b"\xac\x02\x00\x03" + b"".join(words)  # 300 is 0xac 0x02
    assert strings(tensor) == words
    tensor.tensor_content = tensor.tensor_content[:-1]
    with pytest.raises(BackendFailed):
        strings(tensor)


def _without(name: str) -> Any:
    response = answer([DOG])
    del response.outputs[name]
    return response


def _odd_content(name: str) -> Any:
    response = answer([DOG], raw=True)
    response.outputs[name].tensor_content = b"12345"
    return response


def _other_dtype(name: str) -> Any:
    """Twice as many bytes, which would pass for as many other numbers."""
    response = answer([DOG], raw=True)
    response.outputs[name].dtype = {"boxes": DT_DOUBLE, "scores": DT_DOUBLE}.get(name, DT_INT64)
    response.outputs[name].tensor_content *= 2
    return response


def _set(name: str, values: str, at: int, value: float) -> Any:
    response = answer([DOG])
    getattr(response.outputs[name], values)[at] = value
    return response


@pytest.mark.parametrize(
    "make",
    [
        *(lambda name=name: _without(name) for name in answer([]).outputs),
        *(lambda name=name: _odd_content(name) for name in answer([]).outputs),
        m.PredictResponse,
        *(lambda name=name: _other_dtype(name) for name in ("boxes", "scores", "classes")),
        lambda: _set("num_detections", "int_val", 0, -1),
        lambda: _set("num_detections", "int_val", 0, 2**31 - 1),
    ],
)
def test_an_answer_that_is_not_detections_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(BackendFailed, match="make model"):
        decode_response(make().SerializeToString())


def test_bytes_that_are_no_answer_are_refused() -> None:
    with pytest.raises(BackendFailed, match="make model"):
        decode_response(b"\xff\xff")


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    "row",
    [
        ("dog", 16, 0.5, (nan, 0.0, 1.0, 1.0)),
        ("dog", 16, 0.5, (-inf, 0.0, inf, nan)),
        ("dog", 16, nan, (0.0, 0.0, 1.0, 1.0)),
        ("dog", 16, inf, (0.0, 0.0, 1.0, 1.0)),
        ("dog", 16, 1.5, (0.0, 0.0, 1.0, 1.0)),
        ("dog", 16, -0.5, (0.0, 0.0, 1.0, 1.0)),
    ],
)
def test_invalid_numbers_and_scores_are_refused(row: Row, raw: bool) -> None:
    with pytest.raises(BackendFailed, match="not numbers"):
        decode_response(answer([DOG, row], raw=raw).SerializeToString())


def test_a_side_infinitely_far_is_a_side_and_what_does_not_count_is_not_looked_at() -> None:
    response = answer([("dog", 16, 0.5, (-inf, -inf, inf, inf))])
    response.outputs["scores"].float_val[1] = nan
    response.outputs["boxes"].float_val[4] = nan
    found = decode_response(response.SerializeToString())
    assert (found.count, list(found.boxes[:4])) == (1, [-inf, -inf, inf, inf])


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
@pytest.mark.parametrize("version", [None, 3])
@pytest.mark.parametrize("isolated", [False, True])
def test_a_request_is_what_the_message_classes_make(
    size: int, version: int | None, isolated: bool
) -> None:
    picture = bytes(i % 251 for i in range(size))
    spec = m.ModelSpec(name="yolov4", signature_name="serving_default")
    if version:
        spec.version.value = version
    request = m.PredictRequest.FromString(request_encoder(spec)(picture, isolated))
    expected = m.PredictRequest(model_spec=spec)
    tensor = expected.inputs["image"]
    tensor.dtype = m.DT_STRING
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(picture)
    if isolated:
        expected.output_filter.extend(["boxes", "scores", "classes", "labels"])
    assert request == expected


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("rows", [[], [DOG], [DOG, CAT, MOUSE]])
def test_without_a_count_the_scores_tell_it(rows: list[Row], raw: bool) -> None:
    response = answer(rows, raw=raw)
    del response.outputs["num_detections"]
    assert decode_response(response.SerializeToString(), isolated=True).count == len(rows)
    with pytest.raises(BackendFailed):
        decode_response(response.SerializeToString())
