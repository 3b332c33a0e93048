"""COCO's twelve metrics and the AP of each category, computed by pycocotools."""

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .coco import Annotations

EVALUATED_BY = f"pycocotools {version('pycocotools')}"

STATS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


def evaluate(
    annotations: Annotations, results: Sequence[Mapping[str, Any]], categories: Iterable[int]
) -> tuple[dict[str, float | None], dict[int, tuple[float | None, float | None]]]:
    """COCO's twelve metrics, printed as well, and AP and AP50 of each category id.

    `results`: in COCO's results format. A metric without objects is None.
    """
    images = [{"id": picture.id} for picture in annotations.pictures]
    objects, detected = defaultdict(list), defaultdict(list)
    for annotation in annotations.objects:
        objects[annotation["category_id"]].append(annotation)
    for number, result in enumerate(results, 1):
        area = result["bbox"][2] * result["bbox"][3]
        detected[result["category_id"]].append({**result, "id": number, "area": area, "iscrowd": 0})

    def index(things: list[dict[str, Any]], category: int) -> Any:
        """Like loadRes, which fails without detections and converts every box to a mask."""
        coco = COCO()
        coco.dataset = {"images": images, "categories": [{"id": category}], "annotations": things}
        coco.createIndex()
        return coco

    ordered = sorted(categories)
    parts = []
    with contextlib.redirect_stdout(io.StringIO()):
        for number in ordered:  # all at once takes gigabytes for 5,000 pictures
            truth = index(objects.pop(number, []), number)
            evaluation = COCOeval(truth, index(detected.pop(number, []), number), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            parts.append(evaluation.eval)
    evaluation.eval = {  # [IoU, recall, category, area, most] and [IoU, category, area, most]
        kind: np.concatenate([part[kind] for part in parts], axis=-3)
        for kind in ("precision", "recall")
    }
    evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    classes = {
        number: (_mean(precision[:, :, k]), _mean(precision[0, :, k]))
        for k, number in enumerate(ordered)
    }
    return dict(zip(STATS, map(_number, evaluation.stats), strict=True)), classes


def _mean(precision: Any) -> float | None:
    return _number(precision.mean())


def _number(value: Any) -> float | None:
    """pycocotools returns -1 for undefined metrics."""
    return None if value < 0 else round(float(value), 6)
