"""A second implementation of decoding and NMS: scalar loops like Darknet's, without shared code.

Source: AlexeyAB/darknet, src/yolo_layer.c (get_yolo_box, forward_yolo_layer) and src/box.c.
"""

import math
from typing import Any, NamedTuple


class Found(NamedTuple):
    score: float
    class_id: int
    box: tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in pixels


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def decode(
    head: Any,
    anchors: list[tuple[float, float]],
    classes: int,
    network_size: tuple[int, int],  # width, height
    picture_size: tuple[int, int],  # width, height
    scale_x_y: float,
    new_coords: bool,
) -> list[Found]:
    """Every class, anchor and cell of head [rows, columns, anchors x (5 + classes)]."""
    rows, columns, _ = head.shape
    found = []
    for row in range(rows):
        for column in range(columns):
            for number, (anchor_w, anchor_h) in enumerate(anchors):
                first = number * (5 + classes)
                v = [float(head[row, column, first + i]) for i in range(5 + classes)]
                if new_coords:
                    w = (v[2] * v[2] * 4) * anchor_w / network_size[0]
                    h = (v[3] * v[3] * 4) * anchor_h / network_size[1]
                else:
                    w = math.exp(v[2]) * anchor_w / network_size[0]
                    h = math.exp(v[3]) * anchor_h / network_size[1]
                    v = [logistic(v[0]), logistic(v[1]), 0, 0, *map(logistic, v[4:])]
                x = (column + v[0] * scale_x_y - 0.5 * (scale_x_y - 1)) / columns
                y = (row + v[1] * scale_x_y - 0.5 * (scale_x_y - 1)) / rows
                box = (
                    (x - w / 2) * picture_size[0],
                    (y - h / 2) * picture_size[1],
                    (x + w / 2) * picture_size[0],
                    (y + h / 2) * picture_size[1],
                )
                for class_id in range(classes):
                    found.append(Found(v[4] * v[5 + class_id], class_id, box))
    return found


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def greedy_nms(found: list[Found]) -> list[Found]:
    """Best first: what no better one of its class overlaps by more than 0.45; at most 100."""
    kept: list[Found] = []
    for candidate in sorted(found, key=lambda f: -f.score):
        if candidate.score < 0.001:
            break
        rivals = (k for k in kept if k.class_id == candidate.class_id)
        if not any(iou(k.box, candidate.box) > 0.45 for k in rivals):
            kept.append(candidate)
    return kept[:100]
