"""Encodes one picture as a PredictRequest; decodes the PredictResponse into a Prediction."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import isnan, prod
from typing import cast

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ..core.errors import BackendFailed
from ..detection.models import Prediction
from . import messages as m

WRONG_SIGNATURE = "The model does not have a detector's signature; export it with `make model`."
# TensorFlow Serving batches only calls for all of a signature's outputs, and runs others by
# themselves (batching_session.cc). The count follows from the scores.
ISOLATED = ("boxes", "scores", "classes", "labels")
NOT_A_NUMBER = "The model returned boxes or scores that are not numbers; use another version of it."


def request_encoder(spec: m.ModelSpec) -> Callable[[bytes, bool], bytes]:
    """Returns a function that encodes a picture as a serialised PredictRequest to `spec`; the
    second argument is whether it must not be batched with ordinary ones.

    Everything but the picture and four lengths is constant, so a request is a single join; the
    protobuf classes would copy the picture three times.
    """

    def field(number: int, length: int) -> bytes:
        return _varint(number << 3 | 2) + _varint(length)  # tag and length

    model = m.PredictRequest(model_spec=spec).SerializeToString()
    tensor = m.TensorProto(dtype=m.DT_STRING)
    tensor.tensor_shape.dim.add(size=1)
    head = tensor.SerializeToString()
    key = field(1, len(b"image")) + b"image"
    isolating = m.PredictRequest(output_filter=ISOLATED).SerializeToString()

    def request(picture: bytes, isolated: bool) -> bytes:
        string_val = head + field(8, len(picture))
        value = key + field(2, len(string_val) + len(picture)) + string_val
        start = field(2, len(value) + len(picture))
        return b"".join((model, start, value, picture, isolating if isolated else b""))

    return request


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_response(data: bytes, isolated: bool = False) -> Prediction:
    """Decodes a serialised PredictResponse for one picture.

    Raises BackendFailed if the outputs do not match the signature or contain NaN. Infinite
    coordinates are valid: they lie outside the picture and are clipped later.
    """
    try:
        response = m.PredictResponse.FromString(data)
    except DecodeError as error:
        raise BackendFailed(WRONG_SIGNATURE) from error
    outputs = response.outputs
    boxes, scores = _floats(outputs["boxes"]), _floats(outputs["scores"])
    counts = [sum(map(bool, scores))] if isolated else _ints(outputs["num_detections"])
    classes, labels = _ints(outputs["classes"]), strings(outputs["labels"])
    count = counts[0] if len(counts) == 1 else -1
    if count < 0 or len(boxes) < 4 * count or min(len(scores), len(classes), len(labels)) < count:
        raise BackendFailed(WRONG_SIGNATURE)
    boxes, scores = boxes[: 4 * count], scores[:count]  # lists, faster to read than protobuf's
    if _any_nan(boxes) or not _all_probabilities(scores):
        raise BackendFailed(NOT_A_NUMBER)
    return Prediction(response.model_spec.version.value, count, boxes, scores, classes, labels)


def _all_probabilities(numbers: Sequence[float]) -> bool:
    return not numbers or (not isnan(sum(numbers)) and min(numbers) >= 0 and max(numbers) <= 1)


def _any_nan(numbers: Sequence[float]) -> bool:
    """The sum is a fast check; infinities of both signs also sum to NaN, hence the second one."""
    return isnan(sum(numbers)) and any(map(isnan, numbers))


def _floats(tensor: m.TensorProto) -> Sequence[float]:
    """The tensor's values, flat. TensorFlow Serving sends typed fields by default, raw bytes with
    --enable_serialization_as_tensor_content."""
    content = _content(tensor, m.DT_FLOAT)
    return memoryview(content).cast("f") if content else cast(Sequence[float], tensor.float_val)


def _ints(tensor: m.TensorProto) -> Sequence[int]:
    content = _content(tensor, m.DT_INT32)
    return memoryview(content).cast("i") if content else cast(Sequence[int], tensor.int_val)


def _content(tensor: m.TensorProto, dtype: int) -> bytes:
    """Raw values of four bytes each. The dtype is checked because raw bytes do not show theirs."""
    content: bytes = tensor.tensor_content
    if content and (tensor.dtype != dtype or len(content) % 4):
        raise BackendFailed(WRONG_SIGNATURE)
    return content


def strings(tensor: m.TensorProto) -> Sequence[bytes]:
    """The tensor's strings. Raw content holds all lengths as varints, then all characters."""
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
        raise BackendFailed(WRONG_SIGNATURE)
    ends = list(accumulate(lengths, initial=at))
    return [content[begin:end] for begin, end in pairwise(ends)]
