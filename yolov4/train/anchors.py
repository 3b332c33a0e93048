"""Anchors for a data set: k-means on the sizes of its boxes, by IoU (Redmon, YOLO9000)."""

import numpy as np
import numpy.typing as npt

from yolov4.errors import ModelError
from yolov4.train.data import Dataset

Floats = npt.NDArray[np.float64]


def find_anchors(
    data: Dataset, count: int, width: int, height: int, seed: int = 0
) -> tuple[tuple[float, float], ...]:
    """Return `count` box sizes in input pixels with the best overlap, by ascending area."""
    boxes = np.concatenate(data.boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    sizes: Floats = (sides * (width, height)).astype(np.float64)
    sizes = sizes[(sizes > 1).all(axis=1)]
    if len(sizes) < count:
        raise ModelError(f"{count} anchors cannot be found from {len(sizes)} boxes")
    rng = np.random.default_rng(seed)
    # Starting from evenly spaced areas avoids empty clusters.
    ranked = sizes[np.argsort(sizes.prod(axis=1))]
    anchors: Floats = ranked[((np.arange(count) + 0.5) * len(ranked) / count).astype(int)]
    for _ in range(300):
        nearest = _iou(sizes, anchors).argmax(axis=1)
        moved: Floats = np.array(
            [
                np.median(sizes[nearest == k], axis=0)
                if (nearest == k).any()
                else rng.choice(sizes)
                for k in range(count)
            ]
        )
        if np.array_equal(moved, anchors):
            break
        anchors = moved
    anchors = anchors[np.argsort(anchors.prod(axis=1))]
    return tuple((round(float(w), 1), round(float(h), 1)) for w, h in anchors)


def _iou(sizes: Floats, anchors: Floats) -> Floats:
    both = np.minimum(sizes[:, None], anchors).prod(axis=2)
    iou: Floats = both / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1) - both)
    return iou
