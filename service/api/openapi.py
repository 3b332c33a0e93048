"""What FastAPI cannot derive for /openapi.json: request bodies, headers, problem responses."""

from collections.abc import Sequence
from typing import Any

from ..core import responses, versions
from ..detection.imaging.image import MEDIA_TYPES
from .requests import deadlines

ANY = "application/octet-stream"  # the picture's own bytes say what it is
PROBLEMS = {
    400: "Not a decodable picture (`bad-picture`), or a malformed body (`malformed-body`).",
    401: "Missing or unknown API key.",
    404: "No model or version of this name.",
    408: "Upload timed out.",
    413: "Too many bytes, pixels or pictures.",
    415: "Unsupported media type or encoding.",
    422: "Invalid parameter, header or form part.",
    503: "Overloaded, no model server, or (`/readyz`) draining; see Retry-After.",
    504: "Deadline exceeded.",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": PROBLEMS[code], "content": content} for code in codes}


JSON_PICTURE = {
    "type": "object",
    "properties": {"image": {"type": "string", "format": "byte"}},
    "required": ["image"],
    "additionalProperties": False,
}


def json_errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Responses of another service's API: its own JSON object."""
    content = {"application/json": {"schema": {"type": "object"}}}
    return {code: {"description": PROBLEMS[code], "content": content} for code in codes}


def json_body(required: str, **properties: Any) -> dict[str, Any]:
    """Request body: a JSON object with `required`, described by `properties`."""
    schema = {"type": "object", "properties": properties, "required": [required]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def path_parameter(name: str, values: Sequence[str] = (), pattern: str = "") -> dict[str, Any]:
    """A part of the path: one of `values`, or what matches `pattern`."""
    schema = {"type": "string", **({"enum": list(values)} if values else {"pattern": pattern})}
    return {"name": name, "in": "path", "required": True, "schema": schema}


TIMEOUT = {
    "name": deadlines.HEADER,
    "in": "header",
    "required": False,
    "description": "Client timeout in milliseconds, from the start of the request. It can only"
    " shorten the server's own deadline.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


MODEL_VERSION = {
    "name": responses.MODEL_VERSION,
    "in": "header",
    "required": False,
    "description": "Model version to ask, a number or a label; 404 if it is not served. The"
    " response's header of the same name has the number that answered.",
    "schema": {"type": "string", "pattern": f"^{versions.PATTERN}$"},
}


def body(max_pictures: int) -> dict[str, Any]:
    """Request body and headers: a form of pictures; for one picture also the raw body."""
    binary = {"type": "string", "format": "binary"}
    part: dict[str, Any] = binary
    if max_pictures > 1:
        part = {"type": "array", "items": binary, "minItems": 1, "maxItems": max_pictures}
    form = {
        "type": "object",
        "properties": {"image": part},
        "required": ["image"],
        "additionalProperties": False,
    }
    encoding = {"image": {"contentType": ", ".join(MEDIA_TYPES)}}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form, "encoding": encoding}}
    if max_pictures == 1:
        content |= {media_type: {"schema": binary} for media_type in (*MEDIA_TYPES, ANY)}
        content["application/json"] = {"schema": JSON_PICTURE}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": [TIMEOUT, MODEL_VERSION],
    }
