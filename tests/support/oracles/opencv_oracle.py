"""What OpenCV's own Darknet reader finds: another implementation of the whole job."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np


class Found(NamedTuple):
    class_id: int
    score: float
    box: tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in pixels, unclipped


class OpenCV:
    """The same preprocessing (plain stretch, RGB, 0..1), per-class NMS at IoU 0.45.

    `exact` stretches in floating point, as the SavedModel does; OpenCV's usual way rounds the
    stretched picture to whole numbers, which moves a score by up to 0.02.
    """

    def __init__(self, cfg: Path, weights: Path, size: int | tuple[int, int]) -> None:
        self.net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
        self.size = (size, size) if isinstance(size, int) else size  # width, height

    def detect(self, data: bytes, threshold: float, exact: bool = False) -> list[Found]:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        assert picture is not None
        height, width = picture.shape[:2]
        if exact:
            picture = cv2.resize(picture.astype(np.float32), self.size)
            blob = cv2.dnn.blobFromImage(picture, 1 / 255, swapRB=True)
        else:
            blob = cv2.dnn.blobFromImage(picture, 1 / 255, self.size, swapRB=True)
        self.net.setInput(blob)
        rows = np.concatenate(self.net.forward(self.net.getUnconnectedOutLayersNames()))
        at, classes = np.nonzero(rows[:, 5:] >= threshold)
        scores = rows[at, 5 + classes]
        centre_x, centre_y, w, h = (rows[at, :4] * [width, height, width, height]).T
        boxes = np.stack([centre_x - w / 2, centre_y - h / 2, w, h], axis=1)
        if not len(boxes):
            return []
        kept = cv2.dnn.NMSBoxesBatched(
            boxes.tolist(), scores.tolist(), classes.tolist(), threshold, 0.45
        )
        return sorted(
            (
                Found(int(classes[i]), float(scores[i]), (x, y, x + w, y + h))
                for i in kept
                for x, y, w, h in [boxes[i].tolist()]
            ),
            key=lambda found: -found.score,
        )


def clipped(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float]:
    x_min, y_min, x_max, y_max = box
    return max(x_min, 0), max(y_min, 0), min(x_max, width), min(y_max, height)


def iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes x_min, y_min, x_max, y_max."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)
