"""The HTTP contract as types: query parameters and response bodies."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import DetectError
from ..detection.models import ModelInfo, Query, Result


class Format(StrEnum):
    json = "json"
    image = "image"
    roboflow = "roboflow"


def _without_null(schema: dict[str, Any]) -> None:
    """A query parameter that is not given is absent, never null."""
    schema |= schema.pop("anyOf")[0]


class BatchQuery(BaseModel):
    """Parameters of both detection calls. Unknown ones are errors: most likely misspelt."""

    model_config = ConfigDict(extra="forbid")

    score_threshold: Annotated[float, Field(ge=0, le=1, description="Minimum confidence.")] = 0.25
    max_detections: Annotated[
        int, Field(ge=1, le=100, description="Maximum number of detections for one picture.")
    ] = 100
    label: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(description="Return only this label; repeat the parameter for several."),
    ] = []

    def query(self) -> Query:
        return Query(self.score_threshold, self.max_detections, frozenset(self.label))


class DetectQuery(BatchQuery):
    format: Annotated[
        Format | None,
        Field(
            description="`json`, `image` for the picture with boxes drawn, as JPEG, or `roboflow`"
            " for Roboflow's JSON. Default: `json`, unless the Accept header prefers `image/jpeg`.",
            json_schema_extra=_without_null,
        ),
    ] = None


def wants_image(asked: Format | None, accept: str) -> bool:
    """Whether to draw: as `format` says, else if Accept prefers image/jpeg to JSON."""
    if asked is not None:
        return asked is Format.image
    if "image/jpeg" not in accept.lower():
        return False
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
    """Size in pixels as displayed, EXIF orientation applied."""

    width: int
    height: int


class Box(BaseModel):
    """Corners in pixels of the picture as displayed, clipped to it."""

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
    detections: list[Detection] = Field(description="Highest score first.")

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
    """An error as `application/problem+json` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What is wrong and how to fix it.")
    request_id: str


class RoboflowPrediction(BaseModel):
    """`x`, `y`: the centre, in pixels."""

    x: float
    y: float
    width: float
    height: float
    confidence: float
    class_: str = Field(alias="class")
    class_id: int
    detection_id: str


class Roboflow(BaseModel):
    """`format=roboflow`. `time` in seconds."""

    inference_id: str
    time: float
    image: Image
    predictions: list[RoboflowPrediction]


class Failed(BaseModel):
    error: Problem


class Batch(BaseModel):
    results: list[Detections | Failed] = Field(
        description="One entry per picture, in request order."
    )


class InputSize(BaseModel):
    """What pictures are resized to, in pixels."""

    width: int
    height: int


class ModelDetails(Model):
    """Properties of the model, from its metadata; null where unknown."""

    labels: list[str] | None = Field(description="Labels by class id.")
    input: InputSize | None
    precision: str | None = Field(description="Such as `float32` or `bfloat16`.")
    target: str | None = Field(description="What it was exported for: `cpu`, `g4` or `inf1`.")


class ModelState(BaseModel):
    name: str
    version: int | None = Field(description="The version that answers now; null where none does.")
    reason: str | None = Field(description="Why none does; null where one does.")


class Models(BaseModel):
    models: list[ModelState] = Field(description="The default first.")


class Ready(BaseModel):
    model: Model = Field(description="The default.")
    models: list[Model]


def model_details(name: str, version: int, models: Sequence[ModelInfo]) -> ModelDetails:
    info = next((model for model in models if model.version == version), ModelInfo(version))
    size = info.input_size and InputSize(width=info.input_size[0], height=info.input_size[1])
    return ModelDetails(
        name=name,
        version=version,
        labels=list(info.labels) or None,
        input=size,
        precision=info.precision,
        target=info.target,
    )


def model_state(name: str, state: int | DetectError) -> dict[str, Any]:
    """`state`: the version that answers, or why none does."""
    if isinstance(state, DetectError):
        return {"name": name, "version": None, "reason": str(state)}
    return {"name": name, "version": state, "reason": None}


def detections(result: Result) -> dict[str, Any]:
    """A result as JSON. Coordinates rounded to 0.01 pixel, scores to 6 decimals."""
    return {
        "model": {"name": result.model, "version": result.version},
        "image": {"width": result.width, "height": result.height},
        "detections": [
            {
                "label": label,
                "class_id": class_id,
                "score": round(1e6 * score) / 1e6,  # in half the time of round(score, 6)
                "box": {
                    "x_min": round(100 * x_min) / 100,
                    "y_min": round(100 * y_min) / 100,
                    "x_max": round(100 * x_max) / 100,
                    "y_max": round(100 * y_max) / 100,
                },
            }
            for label, class_id, score, (x_min, y_min, x_max, y_max) in result.detections
        ],
    }
