"""What the model server may send, and what is not detections."""

from collections.abc import Callable
from typing import Any

import pytest

from service import messages as m
from service.errors import BackendFailed
from service.prediction import _strings, of_response
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
