"""Converts between numpy arrays and TensorProto as TensorFlow's C++ does.

`tf.make_tensor_proto` is not enough: it packs numeric arrays into tensor_content, which TensorFlow
Serving does only when asked to. Source: tensorflow `core/framework/tensor.cc`.
"""

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

# dtype -> its field in TensorProto, and how to view the memory where the field holds parts or bits.
FIELDS: dict[Any, tuple[str, type[np.generic] | None]] = {
    tf.float32: ("float_val", None),
    tf.float64: ("double_val", None),
    tf.int8: ("int_val", None),
    tf.int16: ("int_val", None),
    tf.int32: ("int_val", None),
    tf.int64: ("int64_val", None),
    tf.uint8: ("int_val", None),
    tf.uint16: ("int_val", None),
    tf.uint32: ("uint32_val", None),
    tf.uint64: ("uint64_val", None),
    tf.bool: ("bool_val", None),
    tf.string: ("string_val", None),
    tf.float16: ("half_val", np.uint16),
    tf.bfloat16: ("half_val", np.uint16),
    tf.complex64: ("scomplex_val", np.float32),
    tf.complex128: ("dcomplex_val", np.float64),
}


def fill(proto: Any, value: Any, *, tensor_content: bool) -> None:
    """Writes `value`, as a Session returns it, into the empty TensorProto `proto`."""
    # A string scalar comes as bytes; numpy would make a fixed-width string of it.
    array = np.asarray(value, dtype=object if isinstance(value, bytes) else None)
    dtype = tf.as_dtype(array.dtype)
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if tensor_content:
        proto.tensor_content = _string_list(array) if dtype == tf.string else array.tobytes()
        return
    field, view = FIELDS[dtype]
    flat = array.reshape(-1)
    getattr(proto, field).extend((flat if view is None else flat.view(view)).tolist())


def parse(proto: Any) -> Any:
    """The array in `proto`, as `Tensor::FromProto` reads it: surplus values are dropped, the last
    of too few is repeated. Raises TypeError, ValueError or MemoryError if it is not valid."""
    shape = proto.tensor_shape
    sizes = [dim.size for dim in shape.dim]
    if shape.unknown_rank or any(size < 0 for size in sizes):
        raise ValueError("the shape is not fully defined")
    field, _ = FIELDS.get(tf.as_dtype(proto.dtype), ("", None))
    if not field:
        raise TypeError(f"dtype {proto.dtype}")
    parts = 2 if field.endswith("complex_val") else 1
    count = prod(sizes) * parts
    if not proto.tensor_content and len(getattr(proto, field)) > count:
        surplus, proto = proto, type(proto)()
        proto.CopyFrom(surplus)
        del getattr(proto, field)[count:]
    return tf.make_ndarray(proto)


def _string_list(array: npt.NDArray[np.object_]) -> bytes:
    """tensorflow's EncodeStringList: every length as a varint, then every string."""
    strings = array.reshape(-1).tolist()
    return b"".join([*(_varint(len(string)) for string in strings), *strings])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
