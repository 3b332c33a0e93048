"""Requests for one picture or for the model's labels, and what the answers hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ....errors import UnexpectedAnswer
from . import messages as m

WRONG_SIGNATURE = "The model does not have a detector's signature; export it with `make model`."
NOT_A_NUMBER = "The model returned boxes or scores that are not numbers; use another version of it."
# TensorFlow Serving batches calls for the same outputs: these meet no ordinary call.
ISOLATED = ("boxes", "scores", "classes", "labels")


@dataclass(frozen=True)
class Prediction:
    """Best first. `boxes`: four floats for each of `count` detections, in pixels of the picture
    that was sent, not clipped."""

    version: int
    count: int
    boxes: Sequence[float]
    scores: Sequence[float]
    classes: Sequence[int]
    labels: Sequence[bytes]


def spec(model: str, version: int | None = None, signature: str = "") -> Any:
    """A ModelSpec. `version` None: the newest."""
    made = m.ModelSpec(name=model, signature_name=signature)
    if version is not None:
        made.version.value = version
    return made


def predict_request(model: Any, name: str, value: bytes, isolated: bool = False) -> bytes:
    """A serialised PredictRequest with one string as the input `name`."""
    request = m.PredictRequest(model_spec=model, output_filter=ISOLATED if isolated else ())
    tensor = request.inputs.add(key=name).value
    tensor.dtype = m.DT_STRING
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(value)
    data: bytes = request.SerializeToString()
    return data


def newest_available(data: bytes) -> int | None:
    """The newest version in a GetModelStatusResponse that answers calls."""
    statuses = _parse(m.GetModelStatusResponse, data).model_version_status
    return max((s.version for s in statuses if s.state == m.AVAILABLE), default=None)


def class_names(data: bytes) -> tuple[str, ...]:
    """The labels in an answer of the signature `metadata`, by class id."""
    tensor = _outputs(_parse(m.PredictResponse, data)).get("class_names", m.Tensor())
    return tuple(label.decode("utf-8", "replace") for label in _strings(tensor))


def prediction(data: bytes) -> Prediction:
    """Raises UnexpectedAnswer where it is not a detector's, or contains NaN. Infinite coordinates
    are valid: they are clipped."""
    response = _parse(m.PredictResponse, data)
    outputs = _outputs(response)
    if not outputs.keys() >= set(ISOLATED):
        raise UnexpectedAnswer(WRONG_SIGNATURE)
    boxes, scores = (_numbers(outputs[name], m.DT_FLOAT) for name in ("boxes", "scores"))
    classes, labels = _numbers(outputs["classes"], m.DT_INT32), _strings(outputs["labels"])
    if "num_detections" in outputs:
        counts = _numbers(outputs["num_detections"], m.DT_INT32)
    else:  # an isolated call
        counts = [sum(map(bool, scores))]
    count = counts[0] if len(counts) == 1 else -1
    if count < 0 or len(boxes) < 4 * count or min(map(len, (scores, classes, labels))) < count:
        raise UnexpectedAnswer(WRONG_SIGNATURE)
    if any(map(math.isnan, boxes[: 4 * count])) or not all(0 <= s <= 1 for s in scores[:count]):
        raise UnexpectedAnswer(NOT_A_NUMBER)
    return Prediction(response.model_spec.version.value, count, boxes, scores, classes, labels)


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise UnexpectedAnswer("This is not a TensorFlow Serving prediction server.") from error


def _outputs(response: Any) -> dict[str, Any]:
    return {entry.key: entry.value for entry in response.outputs}


def _numbers(tensor: Any, dtype: int) -> Any:
    """Flat. Servers send typed fields, or with --enable_serialization_as_tensor_content raw bytes;
    both types have four bytes."""
    content: bytes = tensor.tensor_content
    if not content:
        return tensor.float_val if dtype == m.DT_FLOAT else tensor.int_val
    if tensor.dtype != dtype or len(content) % 4:
        raise UnexpectedAnswer(WRONG_SIGNATURE)
    return memoryview(content).cast("f" if dtype == m.DT_FLOAT else "i")


def _strings(tensor: Any) -> Sequence[bytes]:
    """Raw content holds all lengths as varints, then all characters."""
    content: bytes = tensor.tensor_content
    if not content:
        strings: Sequence[bytes] = tensor.string_val
        return strings
    lengths, at = [], 0
    for _ in range(min(math.prod(dim.size for dim in tensor.tensor_shape.dim), len(content))):
        length = shift = 0
        while content[at : at + 1] >= b"\x80":
            length |= (content[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
        length |= ord(content[at : at + 1] or b"\0") << shift
        lengths.append(length)
        at += 1
    if at + sum(lengths) != len(content):
        raise UnexpectedAnswer(WRONG_SIGNATURE)
    return [content[begin:end] for begin, end in pairwise(accumulate(lengths, initial=at))]
