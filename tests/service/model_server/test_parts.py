"""Parts of the model server that need no process: tensors, and the order of loads and unloads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from service.model_server import tensor_proto
from service.model_server.services import GRPC_CODES
from service.model_server.version import (
    AVAILABLE,
    END,
    LOADING,
    START,
    UNLOADING,
    Action,
    Version,
    next_action,
)


def written(value: Any, *, tensor_content: bool = False) -> Any:
    proto = tf.make_tensor_proto(0)
    proto.Clear()
    tensor_proto.fill(proto, value, tensor_content=tensor_content)
    return proto


@pytest.mark.parametrize("dtype", [d for d in tensor_proto.FIELDS if d != tf.string], ids=str)
@pytest.mark.parametrize("shape", [(), (0, 4), (2, 3)], ids=str)
def test_numbers_come_back(dtype: Any, shape: tuple[int, ...]) -> None:
    value = np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(dtype.as_numpy_dtype)
    for tensor_content in (False, True):
        proto = written(value, tensor_content=tensor_content)
        field = "tensor_content" if tensor_content else tensor_proto.FIELDS[dtype][0]
        assert bool(getattr(proto, field)) == bool(value.size)
        back = tf.make_ndarray(proto)
        assert back.dtype == value.dtype
        assert np.array_equal(back, value)


def test_strings_are_fields() -> None:
    value = np.array([[b"cat", b""], [b"\xff", b"dog"]], object)
    assert list(written(value).string_val) == [b"cat", b"", b"\xff", b"dog"]
    assert list(written(b"scalar").string_val) == [b"scalar"]
    assert not written(b"scalar").tensor_shape.dim


def test_strings_as_content_are_lengths_then_bytes() -> None:
    long = b"x" * 300
    content = written(np.array([b"cat", long], object), tensor_content=True).tensor_content
    assert content == b"\x03" + b"\xac\x02" + b"cat" + long


def test_every_error_of_tensorflow_has_its_grpc_code() -> None:
    for error, code in {
        tf.errors.InvalidArgumentError: "INVALID_ARGUMENT",
        tf.errors.DeadlineExceededError: "DEADLINE_EXCEEDED",
        tf.errors.ResourceExhaustedError: "RESOURCE_EXHAUSTED",
        tf.errors.CancelledError: "CANCELLED",
        tf.errors.UnauthenticatedError: "UNAUTHENTICATED",
    }.items():
        assert GRPC_CODES[error(None, None, "").error_code].name == code
    assert set(range(17)) == set(GRPC_CODES)


def version(number: int, state: Any, wanted: bool = True, **more: Any) -> Version:
    return Version(number, "m", Path(str(number)), wanted=wanted, state=state, **more)


OLD, NEW = version(1, AVAILABLE, wanted=False), version(2, AVAILABLE)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], None),
        ([version(1, START), version(2, START)], (Action.LOAD, 2)),
        ([OLD, version(2, START)], (Action.LOAD, 2)),
        ([OLD, version(2, LOADING, load_at=200)], None),
        ([OLD, version(2, LOADING, load_at=50)], (Action.LOAD, 2)),
        ([OLD, version(2, END)], None),
        ([OLD, NEW], (Action.RETIRE, 1)),
        ([OLD], (Action.RETIRE, 1)),
        ([version(1, UNLOADING, wanted=False, in_flight=1), NEW], None),
        ([version(1, UNLOADING, wanted=False), version(2, START)], (Action.CLOSE, 1)),
        ([OLD, version(2, AVAILABLE, wanted=False), version(3, START)], (Action.RETIRE, 1)),
    ],
)
def test_next_action(versions: list[Version], expected: tuple[Action, int] | None) -> None:
    action = next_action([[], versions], now=100)
    assert (action and (action[0], action[1].number)) == expected
