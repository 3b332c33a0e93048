"""Tensors in requests: values that do not fill their shape, and shapes that are not defined."""

from typing import Any

import pytest
import tensorflow as tf

from tests.service.model_server.calls import Code, jpeg, refusal
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server


def shaped(sizes: list[int], values: list[float]) -> Any:
    proto = tf.make_tensor_proto(0.0, tf.float32)
    proto.Clear()
    proto.dtype = tf.float32.as_datatype_enum
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(values)
    return proto


@pytest.mark.parametrize(
    ("sizes", "values", "doubled"),
    [([1], [1.0, 2.5], [2.0]), ([3], [1.0, 2.5], [2.0, 5.0, 5.0]), ([2], [], [0.0, 0.0])],
)
def test_surplus_values_are_dropped_and_the_last_is_repeated(
    server: Server, sizes: list[int], values: list[float], doubled: list[float]
) -> None:
    response = server.predict(request("tiny", x=shaped(sizes, values)))
    assert list(response.outputs["y"].float_val) == doubled


def test_surplus_pictures_are_dropped(server: Server) -> None:
    proto = tf.make_tensor_proto([jpeg(30, 20)], tf.string)
    proto.string_val.append(b"no picture")
    response = server.predict(request("tiny", "measure", image=proto))
    assert list(response.outputs["sizes"].int_val) == [20, 30]


@pytest.mark.parametrize("sizes", [[-1], [-1, -1], [2, -1]])
def test_shape_that_is_not_fully_defined_is_refused(server: Server, sizes: list[int]) -> None:
    asked = request("tiny", x=shaped(sizes, [1.0, 2.5]))
    assert refusal(server.predict, asked) == (Code.INVALID_ARGUMENT, "tensor parsing error: x")
