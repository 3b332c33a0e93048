"""COCO's AP of detections, by the same rules as `loadtest accuracy` over HTTP."""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

from yolov4.errors import ModelError
from yolov4.verify.categories import Match, match

Outputs: TypeAlias = Mapping[str, npt.NDArray[Any]]  # of the signature, for one picture


class Annotations(NamedTuple):
    pictures: list[dict[str, Any]]  # id, file_name, width and height in pixels
    categories: dict[int, str]  # id -> name
    objects: list[dict[str, Any]]


def read_annotations(path: Path) -> Annotations:
    """A COCO annotation file. ModelError if it cannot be read or is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = {category["id"]: str(category["name"]) for category in content["categories"]}
        pictures = [
            {key: image[key] for key in ("id", "file_name", "width", "height")}
            for image in content["images"]
        ]
        # Numbered from 1: pycocotools takes an object with the id 0 for unmatched.
        objects = [
            {
                "id": number,
                "image_id": thing["image_id"],
                "category_id": thing["category_id"],
                "bbox": thing["bbox"],
                "area": thing.get("area", thing["bbox"][2] * thing["bbox"][3]),
                "iscrowd": thing.get("iscrowd", 0),
            }
            for number, thing in enumerate(content["annotations"], start=1)
        ]
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{path} is not a COCO annotation file: {error!r}") from error
    if not pictures or not objects:
        raise ModelError(f"{path} has no objects or no pictures")
    return Annotations(pictures, categories, objects)


class Scores(NamedTuple):
    ap: float  # at IoU 0.50:0.95
    ap50: float
    classes: dict[str, tuple[float | None, float | None]]  # label -> both; None without objects


def average_precision(
    annotations: Annotations, names: Sequence[str], answers: Mapping[str, Outputs]
) -> Scores:
    """AP over the categories that the model has, and of each, on all annotated pictures.

    answers: file name -> outputs. A picture without an answer counts as one without detections.
    ModelError if the model has no category in common with the annotations.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ModelError("AP needs pycocotools: pip install pycocotools") from error
    matched = match(names, annotations.categories)
    if not matched.matched:
        raise ModelError("the annotations have no category that the model detects")
    rows = [
        row
        for picture in annotations.pictures
        if picture["file_name"] in answers
        for row in _rows(picture, matched, answers[picture["file_name"]])
    ]
    results = [
        {**row, "id": number, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}
        for number, row in enumerate(rows, start=1)
    ]

    def index(things: list[dict[str, Any]]) -> Any:
        coco = COCO()
        coco.dataset = {
            "images": annotations.pictures,
            "categories": [{"id": number} for number in annotations.categories],
            "annotations": things,
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(index(annotations.objects), index(results), "bbox")
        evaluation.params.imgIds = sorted(picture["id"] for picture in annotations.pictures)
        evaluation.params.catIds = sorted(set(matched.matched.values()))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, category]
    columns = {number: k for k, number in enumerate(evaluation.params.catIds)}
    classes = {}
    for label, number in matched.matched.items():
        of_class = precision[:, :, columns[number]]
        classes[label] = _mean(of_class), _mean(of_class[0])  # the first IoU is 0.50
    return Scores(float(evaluation.stats[0]), float(evaluation.stats[1]), classes)


def _mean(precision: npt.NDArray[Any]) -> float | None:
    known = precision[precision > -1]  # pycocotools' mark of a category without objects
    return float(known.mean()) if known.size else None


def _rows(picture: Mapping[str, Any], matched: Match, outputs: Outputs) -> list[dict[str, Any]]:
    """Detections as the HTTP API returns them: clipped boxes, 0.01 pixels, scores of 6 digits."""
    rows = []
    for i in range(int(outputs["num_detections"][0])):
        label = outputs["labels"][0][i].decode()
        if label not in matched.matched:
            continue
        sides = outputs["boxes"][0][i].tolist()
        limits = [picture["width"], picture["height"]] * 2
        x_min, y_min, x_max, y_max = (
            round(min(max(side, 0.0), limit), 2) for side, limit in zip(sides, limits, strict=True)
        )
        rows.append(
            {
                "image_id": picture["id"],
                "category_id": matched.matched[label],
                "bbox": [x_min, y_min, round(x_max - x_min, 2), round(y_max - y_min, 2)],
                "score": round(float(outputs["scores"][0][i]), 6),
            }
        )
    return rows
