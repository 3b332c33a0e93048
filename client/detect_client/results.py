"""What the service found in a picture, typed, and its conversions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import UnexpectedAnswer

if TYPE_CHECKING:
    from PIL import Image


class Box(NamedTuple):
    """Corners in pixels of the picture as a viewer shows it (EXIF orientation applied)."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float

    @property
    def width(self) -> float:
        return self.x_max - self.x_min

    @property
    def height(self) -> float:
        return self.y_max - self.y_min


class Detection(NamedTuple):
    """One object. `score`: 0 to 1. `class_id`: the label's index in the model, from 0."""

    label: str
    class_id: int
    score: float
    box: Box


class Model(NamedTuple):
    """The served model. `labels`: by class id; empty where the model does not tell them."""

    name: str
    version: int
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """The detections of one picture, best score first.

    Attributes:
        width, height: Size of the picture in pixels, as a viewer shows it.
        detections: Best score first.
        model, version: Name and version of the model that answered.
        request_id: What to look for in the service's log; empty within a batch.
        timings_ms: Where the time went on the server, by part, in milliseconds.
        picture: The bytes that were sent.
    """

    width: int
    height: int
    detections: list[Detection]
    model: str
    version: int
    request_id: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    picture: bytes = field(default=b"", repr=False)

    def draw(self) -> Image.Image:
        """The picture with its boxes and labels, as a `PIL.Image` in RGB. Needs Pillow."""
        from .drawing import draw

        return draw(self)

    def to_coco(
        self, image_id: int, category_ids: Mapping[str, int] | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a COCO results file: `bbox` is [x, y, width, height] in pixels.

        Args:
            image_id: The picture's id in the annotation file.
            category_ids: Category id by label, as in the annotation file. COCO's own are 1 to 90
                with gaps. Labels that are not in it are left out. None: `class_id` + 1.
        """
        rows = []
        for d in self.detections:
            category = d.class_id + 1 if category_ids is None else category_ids.get(d.label)
            if category is not None:
                rows.append(
                    {
                        "image_id": image_id,
                        "category_id": category,
                        "bbox": [
                            d.box.x_min,
                            d.box.y_min,
                            round(d.box.width, 2),
                            round(d.box.height, 2),
                        ],
                        "score": d.score,
                    }
                )
        return rows

    def to_supervision(self) -> Any:
        """`supervision.Detections` with labels in `data["class_name"]`. Needs supervision."""
        import numpy as np
        import supervision as sv

        if not self.detections:
            return sv.Detections.empty()
        return sv.Detections(
            xyxy=np.array([d.box for d in self.detections], dtype=np.float32),
            confidence=np.array([d.score for d in self.detections], dtype=np.float32),
            class_id=np.array([d.class_id for d in self.detections], dtype=int),
            data={"class_name": np.array([d.label for d in self.detections])},
        )

    def to_dict(self) -> dict[str, Any]:
        """The service's JSON object, as `POST /detect` answers it."""
        return {
            "model": {"name": self.model, "version": self.version},
            "image": {"width": self.width, "height": self.height},
            "detections": [{**d._asdict(), "box": d.box._asdict()} for d in self.detections],
        }


def from_json(content: Any, **more: Any) -> Result:
    """The service's JSON object as a Result. Raises UnexpectedAnswer where it is another one."""
    try:
        return Result(
            width=int(content["image"]["width"]),
            height=int(content["image"]["height"]),
            detections=[
                Detection(
                    str(d["label"]),
                    int(d["class_id"]),
                    float(d["score"]),
                    Box(*(float(d["box"][side]) for side in Box._fields)),
                )
                for d in content["detections"]
            ],
            model=str(content["model"]["name"]),
            version=int(content["model"]["version"]),
            **more,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnexpectedAnswer(f"The answer is not a detection result: {error!r}.") from error
