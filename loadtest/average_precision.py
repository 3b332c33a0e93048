"""COCO's twelve numbers and AP of each class, as pycocotools computes them."""

import contextlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from .coco import Annotations
from .stopped import Stopped

STATS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)


def check_pycocotools() -> str:
    """Its version; Stopped where it is not installed, which is better said before than after."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise Stopped(
            "pycocotools, which computes AP, is not installed:"
            f" {sys.executable} -m pip install pycocotools"
        ) from error
    return version("pycocotools")


def evaluate(
    annotations: Annotations, results: Sequence[Mapping[str, Any]], categories: Iterable[int]
) -> tuple[dict[str, float | None], dict[int, tuple[float | None, float | None]]]:
    """COCO's twelve numbers, printed as well, and AP and AP50 of each category id.

    `results`: as in COCO's results file. None is the number of what has no objects.
    """
    import numpy as np
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = [{"id": picture.id} for picture in annotations.pictures]
    objects, detected = defaultdict(list), defaultdict(list)
    for thing in annotations.objects:
        objects[thing["category_id"]].append(thing)
    for number, found in enumerate(results, 1):
        area = found["bbox"][2] * found["bbox"][3]
        detected[found["category_id"]].append({**found, "id": number, "area": area, "iscrowd": 0})

    def index(things: list[dict[str, Any]], category: int) -> Any:
        """Like loadRes, which fails where nothing was detected and makes masks of all boxes."""
        coco = COCO()
        coco.dataset = {"images": images, "categories": [{"id": category}], "annotations": things}
        coco.createIndex()
        return coco

    ordered = sorted(categories)
    parts = []
    with contextlib.redirect_stdout(io.StringIO()):
        for number in ordered:  # all at once is gigabytes of small objects for 5,000 pictures
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
    """pycocotools' -1 is a number of nothing."""
    return None if value < 0 else round(float(value), 6)
