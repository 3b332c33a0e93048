"""Requests to the model server under test, and the errors of its calls."""

import io
from typing import Any

import grpc
import pytest
import tensorflow as tf
from PIL import Image

Code = grpc.StatusCode
X = ([1.0, 2.5], tf.float32)


def refusal(call: Any, *args: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args)
    return caught.value.code(), caught.value.details()


def shape(proto: Any) -> list[int]:
    return [dim.size for dim in proto.tensor_shape.dim]


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG")
    return file.getvalue()


def pictures(*encoded: bytes) -> tuple[list[bytes], Any]:
    """The value of the input `image`."""
    return list(encoded), tf.string
