"""COCO's AP of what a servable answered."""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from yolov4.errors import ModelError

Outputs: TypeAlias = Mapping[str, npt.NDArray[Any]]  # of the signature, for one picture


def average_precision(
    annotations: Path, names: Sequence[str], pictures: Sequence[Path], answers: Sequence[Outputs]
) -> float:
    """AP at IoU 0.50:0.95 over the categories that bear one of `names`, on these pictures.

    annotations: in COCO's format. ModelError for what is missing or does not fit.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ModelError("AP needs pycocotools: pip install pycocotools") from error
    try:
        about = json.loads(annotations.read_text(encoding="utf-8"))
        ids = {image["file_name"]: image["id"] for image in about["images"]}
        categories = {thing["name"]: thing["id"] for thing in about["categories"]}
    except OSError as error:
        raise ModelError(f"cannot read {annotations}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{annotations} is not in COCO's format: {error!r}") from error
    shared = {name: categories[name] for name in names if name in categories}
    rows = [
        row
        for path, outputs in zip(pictures, answers, strict=True)
        if path.name in ids
        for row in _rows(ids[path.name], shared, outputs)
    ]
    if not rows:
        raise ModelError(f"nothing was detected that {annotations} has a category for")
    with contextlib.redirect_stdout(io.StringIO()):  # its progress is no report
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.imgIds = [ids[path.name] for path in pictures if path.name in ids]
        evaluation.params.catIds = sorted(shared.values())
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def _rows(image_id: int, categories: Mapping[str, int], outputs: Outputs) -> list[dict[str, Any]]:
    count = int(outputs["num_detections"][0])
    found = zip(*(outputs[key][0][:count] for key in ("labels", "boxes", "scores")), strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": categories[label.decode()],
            "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
            "score": float(score),
        }
        for label, box, score in found
        if label.decode() in categories
    ]
