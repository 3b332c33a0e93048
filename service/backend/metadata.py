"""Reads a model version's labels and properties from the signature `metadata` of `yolov4 export`.

rows         string [N]     anything, one for each row of the outputs
class_names  string [N, C]  the labels, by class id
about        string [N]     JSON: input size, precision, target
"""

import json
from typing import Any

import grpc
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from grpc import StatusCode as Code

from ..core import logs
from ..core.errors import BackendFailed
from ..detection.models import ModelInfo
from . import messages as m
from .codec import strings

SIGNATURE = "metadata"
# Raised when the outputs are not those of the metadata signature.
INVALID = (DecodeError, BackendFailed, AttributeError, LookupError, TypeError, ValueError)
# The server could not run the call now. Any other failure means that the model has no such
# signature: it was exported by another program.
TRANSIENT = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.CANCELLED}


async def fetch(predict: Any, name: str, version: int, timeout_s: float) -> ModelInfo | None:
    """Calls `predict`, a Predict method from bytes to bytes. Returns None if it is to be repeated
    later."""
    spec = m.ModelSpec(name=name, signature_name=SIGNATURE)
    spec.version.value = version
    request = m.PredictRequest(model_spec=spec)
    rows = request.inputs["rows"]
    rows.dtype = m.DT_STRING
    rows.tensor_shape.dim.add(size=1)
    rows.string_val.append(b"")
    try:
        answer = await predict(request.SerializeToString(), timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        if error.code() in TRANSIENT:
            return None
        logs.event("model without metadata", model=name, version=version, cause=error.details())
        return ModelInfo(version)
    try:
        return _decode(version, m.PredictResponse.FromString(answer).outputs)
    except INVALID as error:
        logs.event("model without metadata", model=name, version=version, cause=str(error))
        return ModelInfo(version)


def _decode(version: int, outputs: Any) -> ModelInfo:
    labels = [label.decode("utf-8", "replace") for label in strings(outputs["class_names"])]
    about = json.loads(b"".join(strings(outputs["about"])) or b"{}")
    size = about.get("input")
    precision, target = (about.get(key) and str(about[key]) for key in ("precision", "target"))
    input_size = (int(size["width"]), int(size["height"])) if size else None
    return ModelInfo(version, tuple(labels), input_size, precision, target)
