"""The HTTP contract as types: what `/openapi.json` says, and the check of the query."""

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..detection.image import MEDIA_TYPES
from ..detection.models import Query, Result
from . import deadlines


class Format(StrEnum):
    json = "json"
    image = "image"


class BatchQuery(BaseModel):
    """Parameters of both calls; an unknown one is refused, for it is most likely misspelt."""

    model_config = ConfigDict(extra="forbid")

    score_threshold: Annotated[
        float, Field(ge=0, le=1, description="Least score of a detection.")
    ] = 0.25
    max_detections: Annotated[
        int, Field(ge=1, le=100, description="Most detections of one picture, the best first.")
    ] = 100
    label: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(description="Only detections of this label; may be given several times."),
    ] = []

    def query(self) -> Query:
        return Query(self.score_threshold, self.max_detections, frozenset(self.label))


class DetectQuery(BatchQuery):
    format: Annotated[
        Format | None,
        Field(
            description="`json`, or `image` for the picture with its boxes as JPEG. Without it the"
            " Accept header decides: `image/jpeg` asks for the picture."
        ),
    ] = None


def wants_image(asked: Format | None, accept: str) -> bool:
    """`format` decides; without it an Accept header that prefers image/jpeg to JSON."""
    if asked is not None:
        return asked is Format.image
    qualities = {}
    for choice in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in choice.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        qualities[media_type] = float(quality) if re.fullmatch(r"[01](\.\d*)?", quality) else 0.0
    jpeg = qualities.get("image/jpeg", 0.0)
    return jpeg > 0 and jpeg > qualities.get("application/json", 0.0)


class Model(BaseModel):
    name: str
    version: int


class Image(BaseModel):
    """Pixels of the picture as a viewer shows it, EXIF orientation applied."""

    width: int
    height: int


class Box(BaseModel):
    """Pixels, inside the picture."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Detection(BaseModel):
    label: str
    class_id: int
    score: float
    box: Box


class Detections(BaseModel):
    model: Model
    image: Image
    detections: list[Detection] = Field(description="By falling score.")

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": {"name": "yolov4", "version": 1},
                "image": {"width": 768, "height": 576},
                "detections": [
                    {
                        "label": "dog",
                        "class_id": 16,
                        "score": 0.98,
                        "box": {"x_min": 128.3, "y_min": 222.1, "x_max": 314.0, "y_max": 541.9},
                    }
                ],
            }
        }
    )


class Problem(BaseModel):
    """RFC 9457, as `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to do.")
    request_id: str


class Failed(BaseModel):
    error: Problem


class Batch(BaseModel):
    results: list[Detections | Failed] = Field(description="In the order of the pictures.")


class Ready(BaseModel):
    model: Model


PROBLEMS = {
    400: "Not a decodable picture (`bad-picture`), or a malformed body (`malformed-body`).",
    401: "No key, or one that is not known.",
    408: "The body did not arrive in time.",
    413: "Too many bytes, pixels or pictures.",
    415: "Another media type.",
    422: "A bad parameter or part.",
    503: "Full, no backend, or (readyz) draining; Retry-After says when to come back.",
    504: "No answer within the deadline.",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": PROBLEMS[code], "content": content} for code in codes}


TIMEOUT = {
    "name": deadlines.HEADER,
    "in": "header",
    "required": False,
    "description": "How long you wait for the answer, in milliseconds from the request's head on;"
    " at most what the service gives itself.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def body(most: int) -> dict[str, Any]:
    """OpenAPI's requestBody: a form of pictures; where one is allowed, also the picture itself."""
    binary = {"type": "string", "format": "binary"}
    part = (
        binary if most == 1 else {"type": "array", "items": binary, "minItems": 1, "maxItems": most}
    )
    form = {
        "type": "object",
        "properties": {"image": part},
        "required": ["image"],
        "additionalProperties": False,
    }
    encoding = {"image": {"contentType": ", ".join(MEDIA_TYPES)}}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form, "encoding": encoding}}
    if most == 1:
        content |= {media_type: {"schema": binary} for media_type in MEDIA_TYPES}
    return {"requestBody": {"required": True, "content": content}, "parameters": [TIMEOUT]}


def detections(name: str, result: Result) -> dict[str, Any]:
    """A result as the contract's JSON object. Pixels to a hundredth, scores to a millionth."""
    return {
        "model": {"name": name, "version": result.version},
        "image": {"width": result.width, "height": result.height},
        "detections": [
            {
                "label": d.label,
                "class_id": d.class_id,
                "score": round(d.score, 6),
                "box": {
                    "x_min": round(d.box.x_min, 2),
                    "y_min": round(d.box.y_min, 2),
                    "x_max": round(d.box.x_max, 2),
                    "y_max": round(d.box.y_max, 2),
                },
            }
            for d in result.detections
        ],
    }
