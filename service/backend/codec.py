"""One picture's request to the model server and its answer: contract 2 as bytes and numbers."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import isnan, prod
from typing import cast

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ..detection.models import Prediction
from ..errors import BackendFailed
from . import messages as m

NOT_OURS = "The model does not have a detector's signature; export it with `make model`."
NOT_NUMBERS = "The model's boxes or scores are not numbers; try another version of it."


def request_maker(spec: m.ModelSpec) -> Callable[[bytes], bytes]:
    """A function from a picture to the serialised PredictRequest that asks `spec` for it.

    All but the picture and four lengths is always the same, so a request is one join; through the
    message classes the picture would be copied three times.
    """

    def field(number: int, length: int) -> bytes:
        return _varint(number << 3 | 2) + _varint(length)  # a length-delimited field's head

    model = m.PredictRequest(model_spec=spec).SerializeToString()
    tensor = m.TensorProto(dtype=m.DT_STRING)
    tensor.tensor_shape.dim.add(size=1)
    head = tensor.SerializeToString()
    key = field(1, len(b"image")) + b"image"

    def request(picture: bytes) -> bytes:
        string_val = head + field(8, len(picture))
        value = key + field(2, len(string_val) + len(picture)) + string_val
        return b"".join((model, field(2, len(value) + len(picture)), value, picture))

    return request


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def of_response(data: bytes) -> Prediction:
    """Raises BackendFailed where the outputs are not those of one picture, or no numbers.

    An infinite side is one beyond the picture and is clipped like any other; NaN is nowhere.
    """
    try:
        response = m.PredictResponse.FromString(data)
    except DecodeError as error:
        raise BackendFailed(NOT_OURS) from error
    outputs = response.outputs
    counts = _ints(outputs["num_detections"])
    boxes, scores = _floats(outputs["boxes"]), _floats(outputs["scores"])
    classes, labels = _ints(outputs["classes"]), strings(outputs["labels"])
    count = counts[0] if len(counts) == 1 else -1
    if count < 0 or len(boxes) < 4 * count or min(len(scores), len(classes), len(labels)) < count:
        raise BackendFailed(NOT_OURS)
    if _any_nan(boxes[: 4 * count]) or not all(0 <= score <= 1 for score in scores[:count]):
        raise BackendFailed(NOT_NUMBERS)
    return Prediction(response.model_spec.version.value, count, boxes, scores, classes, labels)


def _any_nan(numbers: Sequence[float]) -> bool:
    """The sum is quick to say no; where infinities cancel each other it is NaN too."""
    return isnan(sum(numbers)) and any(map(isnan, numbers))


def _floats(tensor: m.TensorProto) -> Sequence[float]:
    """Its numbers, flat: TF Serving sends typed fields, or raw bytes where it is told to."""
    content = _content(tensor, m.DT_FLOAT)
    return memoryview(content).cast("f") if content else cast(Sequence[float], tensor.float_val)


def _ints(tensor: m.TensorProto) -> Sequence[int]:
    content = _content(tensor, m.DT_INT32)
    return memoryview(content).cast("i") if content else cast(Sequence[int], tensor.int_val)


def _content(tensor: m.TensorProto, dtype: int) -> bytes:
    """Raw bytes of four each; typed fields have no other type's numbers, but bytes tell nothing."""
    content: bytes = tensor.tensor_content
    if content and (tensor.dtype != dtype or len(content) % 4):
        raise BackendFailed(NOT_OURS)
    return content


def strings(tensor: m.TensorProto) -> Sequence[bytes]:
    """As bytes, strings come as all lengths (varints) and then all characters."""
    content: bytes = tensor.tensor_content
    if not content:
        return cast(Sequence[bytes], tensor.string_val)
    lengths, at = [], 0
    for _ in range(min(prod(dim.size for dim in tensor.tensor_shape.dim), len(content))):
        length = shift = 0
        while content[at : at + 1] >= b"\x80":
            length |= (content[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
        length |= ord(content[at : at + 1] or b"\0") << shift
        lengths.append(length)
        at += 1
    if at + sum(lengths) != len(content):
        raise BackendFailed(NOT_OURS)
    ends = list(accumulate(lengths, initial=at))
    return [content[begin:end] for begin, end in pairwise(ends)]
