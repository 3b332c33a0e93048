"""Tensors of the Open Inference Protocol: a request's picture, and a result as outputs."""

import struct
from typing import Any

from ...core.errors import BadParameter, MalformedBody
from ...detection.models import Result
from .base import BASE64
from .json_body import decode_base64, parse_json

HEADER = "Inference-Header-Content-Length"
MAX_HEADER = 64 * 1024  # bytes of JSON before binary data
INPUT = {"name": "image", "datatype": "BYTES", "shape": [1]}
TENSORS = {  # OpenAPI's schema of a JSON request's inputs
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": {
        "type": "object",
        "properties": {
            **{name: {"const": value} for name, value in INPUT.items()},
            "data": {"type": "array", "minItems": 1, "maxItems": 1, "items": BASE64},
        },
        "required": ["name", "datatype", "shape", "data"],
    },
}
OUTPUTS = {  # datatype, columns
    "boxes": ("FP32", 4),
    "scores": ("FP32", None),
    "class_ids": ("INT64", None),
    "labels": ("BYTES", None),
}


async def read_request(body: bytes, header_length: str | None) -> tuple[dict[str, Any], bytes]:
    """The JSON part, and the picture from wherever the request has it."""
    if header_length is None:
        content = await parse_json(body)
        data = _input(content).pop("data", None)  # one reference, so that its text is not kept
        if not isinstance(data, list) or len(data) != 1:
            raise MalformedBody("data of input 'image' must be a list of one picture in base64.")
        return content, await decode_base64(data.pop(), "data of input 'image'")
    if not header_length.isascii() or not header_length.isdigit() or int(header_length) > len(body):
        raise MalformedBody(f"{HEADER} must be the length of the JSON part.")
    length = int(header_length)
    if length == 0:  # the body is the picture
        return {}, body
    if length > MAX_HEADER:
        raise MalformedBody(f"The JSON part has {length} bytes; at most {MAX_HEADER}.")
    content = await parse_json(body[:length])
    tensor = _input(content)
    binary = memoryview(body)[length:]
    told = (tensor.get("parameters") or {}).get("binary_data_size", len(binary))
    if told != len(binary):
        raise MalformedBody(f"binary_data_size is {told}, but {len(binary)} bytes follow the JSON.")
    if len(binary) < 4 or struct.unpack_from("<I", binary)[0] != len(binary) - 4:
        raise MalformedBody("A BYTES element begins with its length, 4 bytes in little endian.")
    return content, bytes(binary[4:])


def _input(content: dict[str, Any]) -> dict[str, Any]:
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise MalformedBody("inputs must be a list of one tensor.")
    tensor: dict[str, Any] = inputs[0]
    if any(tensor.get(key) != value for key, value in INPUT.items()):
        raise MalformedBody("The input must have name 'image', datatype 'BYTES' and shape [1].")
    if not isinstance(tensor.get("parameters") or {}, dict):
        raise MalformedBody("parameters of the input must be an object.")
    return tensor


def wanted_outputs(content: dict[str, Any]) -> list[str]:
    """Names of the outputs, all unless `outputs` lists some."""
    outputs = content.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(o, dict) for o in outputs):
        raise MalformedBody("outputs must be a list of objects with a name.")
    names = [str(o.get("name")) for o in outputs]
    for name in names:
        if name not in OUTPUTS:
            raise BadParameter(f"There is no output {name[:80]!r}, only {', '.join(OUTPUTS)}.")
    return names or list(OUTPUTS)


def output(name: str, result: Result) -> dict[str, Any]:
    datatype, columns = OUTPUTS[name]
    found = result.detections
    values: dict[str, list[Any]] = {
        "boxes": [value for d in found for value in d.box],
        "scores": [d.score for d in found],
        "class_ids": [d.class_id for d in found],
        "labels": [d.label for d in found],
    }
    shape = [len(found), columns] if columns else [len(found)]
    return {"name": name, "datatype": datatype, "shape": shape, "data": values[name]}
