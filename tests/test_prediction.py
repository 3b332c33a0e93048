"""What the model server may send, and what is not detections."""

from collections.abc import Callable
from typing import Any

import pytest

from service import messages as m
from service.errors import BackendFailed
from service.prediction import _strings, of_response, request_maker
from tests.fake_backend import DOG, answer


def test_long_strings_as_bytes() -> None:
    tensor = m.TensorProto()
    tensor.tensor_shape.dim.add(size=3)
    words = [b"x" * 300, b"", b"dog"]
    tensor.tensor_content = b"\xac\x02\x00\x03" + b"".join(words)  # 300 is 0xac 0x02
    assert _strings(tensor) == words
    tensor.tensor_content = tensor.tensor_content[:-1]
    with pytest.raises(BackendFailed):
        _strings(tensor)


def _without(name: str) -> Any:
    response = answer([DOG])
    del response.outputs[name]
    return response


def _odd_content(name: str) -> Any:
    response = answer([DOG], raw=True)
    response.outputs[name].tensor_content = b"12345"
    return response


@pytest.mark.parametrize(
    "make",
    [
        *(lambda name=name: _without(name) for name in answer([]).outputs),
        *(lambda name=name: _odd_content(name) for name in answer([]).outputs),
        m.PredictResponse,
    ],
)
def test_an_answer_that_is_not_detections_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(BackendFailed, match="make model"):
        of_response(make())


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
@pytest.mark.parametrize("version", [None, 3])
def test_a_request_is_what_the_message_classes_make(size: int, version: int | None) -> None:
    picture = bytes(i % 251 for i in range(size))
    spec = m.ModelSpec(name="yolov4", signature_name="serving_default")
    if version:
        spec.version.value = version
    request = m.PredictRequest.FromString(request_maker(spec)(picture))
    expected = m.PredictRequest(model_spec=spec)
    tensor = expected.inputs["image"]
    tensor.dtype = m.DT_STRING
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(picture)
    assert request == expected
