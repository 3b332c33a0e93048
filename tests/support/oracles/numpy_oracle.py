"""A second implementation of decoding and NMS: scalar loops like Darknet's, without shared code.

Source: AlexeyAB/darknet, src/yolo_layer.c, src/gaussian_yolo_layer.c, src/region_layer.c,
src/network.c and src/box.c. As there, boxes are x, y, w, h: their centre, width and height, as
fractions of the input or, after `correct_yolo_boxes`, of the picture.
"""

import math
from typing import Any, NamedTuple

Box = tuple[float, float, float, float]


class Found(NamedTuple):
    score: float
    class_id: int
    box: Box  # x, y, w, h in fractions; of `pixels` x_min, y_min, x_max, y_max


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def softmax(values: list[float]) -> list[float]:
    largest = max(values)
    powers = [math.exp(value - largest) for value in values]
    return [power / sum(powers) for power in powers]


def decode_yolo(
    head: Any,
    anchors: list[tuple[float, float]],
    classes: int,
    network_size: tuple[int, int],  # width, height
    scale_x_y: float = 1.0,
    new_coords: bool = False,
) -> list[Found]:
    """Every class, anchor and cell of head [rows, columns, anchors x (5 + classes)].

    Source: get_yolo_box, forward_yolo_layer and get_yolo_detections.
    """
    found = []
    for row, column, v, (anchor_w, anchor_h) in _entries(head, anchors, 5 + classes):
        if new_coords:
            w = (v[2] * v[2] * 4) * anchor_w / network_size[0]
            h = (v[3] * v[3] * 4) * anchor_h / network_size[1]
        else:
            w = math.exp(v[2]) * anchor_w / network_size[0]
            h = math.exp(v[3]) * anchor_h / network_size[1]
            v = [logistic(v[0]), logistic(v[1]), 0, 0, *map(logistic, v[4:])]
        x = (column + v[0] * scale_x_y - 0.5 * (scale_x_y - 1)) / head.shape[1]
        y = (row + v[1] * scale_x_y - 0.5 * (scale_x_y - 1)) / head.shape[0]
        for class_id in range(classes):
            found.append(Found(v[4] * v[5 + class_id], class_id, (x, y, w, h)))
    return found


def decode_gaussian(
    head: Any,
    anchors: list[tuple[float, float]],
    classes: int,
    network_size: tuple[int, int],
    scale_x_y: float = 1.0,
    point: str = "center",
) -> list[Found]:
    """As `decode_yolo`, of head [rows, columns, anchors x (9 + classes)].

    Source: get_gaussian_yolo_box, forward_gaussian_yolo_layer and get_gaussian_yolo_detections.
    """
    found = []
    for row, column, v, (anchor_w, anchor_h) in _entries(head, anchors, 9 + classes):
        w = math.exp(v[4]) * anchor_w / network_size[0]
        h = math.exp(v[6]) * anchor_h / network_size[1]
        x = (column + logistic(v[0]) * scale_x_y - 0.5 * (scale_x_y - 1)) / head.shape[1]
        y = (row + logistic(v[2]) * scale_x_y - 0.5 * (scale_x_y - 1)) / head.shape[0]
        if point == "left_top":
            x, y = x + w / 2, y + h / 2
        if point == "right_bottom":
            x, y = x - w / 2, y - h / 2
        uc_aver = (logistic(v[1]) + logistic(v[3]) + logistic(v[5]) + logistic(v[7])) / 4.0
        for class_id in range(classes):
            prob = logistic(v[8]) * logistic(v[9 + class_id]) * (1.0 - uc_aver)
            found.append(Found(prob, class_id, (x, y, w, h)))
    return found


def decode_region(head: Any, anchors: list[tuple[float, float]], classes: int) -> list[Found]:
    """As `decode_yolo`; the anchors are in cells.

    Source: get_region_box, forward_region_layer and get_region_boxes.
    """
    rows, columns, _ = head.shape
    found = []
    for row, column, v, (anchor_w, anchor_h) in _entries(head, anchors, 5 + classes):
        x, y = (column + logistic(v[0])) / columns, (row + logistic(v[1])) / rows
        w, h = math.exp(v[2]) * anchor_w / columns, math.exp(v[3]) * anchor_h / rows
        for class_id, share in enumerate(softmax(v[5:])):
            found.append(Found(logistic(v[4]) * share, class_id, (x, y, w, h)))
    return found


def _entries(head: Any, anchors: list[tuple[float, float]], length: int) -> Any:
    """Row, column, values and anchor of every entry."""
    rows, columns, _ = head.shape
    for row in range(rows):
        for column in range(columns):
            for number, anchor in enumerate(anchors):
                first = number * length
                values = [float(head[row, column, first + i]) for i in range(length)]
                yield row, column, values, anchor


def correct_yolo_boxes(
    found: list[Found], picture: tuple[int, int], network_size: tuple[int, int]
) -> list[Found]:
    """From fractions of a letterboxed input to fractions of the picture (letter=1, relative=1)."""
    (w, h), (netw, neth) = picture, network_size
    if netw / w < neth / h:
        new_w, new_h = netw, (h * netw) // w
    else:
        new_h, new_w = neth, (w * neth) // h
    corrected = []
    for score, class_id, (x, y, box_w, box_h) in found:
        x = (x - (netw - new_w) / 2.0 / netw) / (new_w / netw)
        y = (y - (neth - new_h) / 2.0 / neth) / (new_h / neth)
        corrected.append(Found(score, class_id, (x, y, box_w * netw / new_w, box_h * neth / new_h)))
    return corrected


def pixels(found: list[Found], picture: tuple[int, int]) -> list[Found]:
    """The corners of the boxes in pixels of the picture, (width, height) large."""
    width, height = picture
    return [
        Found(
            score,
            class_id,
            (
                *((x - w / 2) * width, (y - h / 2) * height),
                *((x + w / 2) * width, (y + h / 2) * height),
            ),
        )
        for score, class_id, (x, y, w, h) in found
    ]


def _overlap(x1: float, w1: float, x2: float, w2: float) -> float:
    return min(x1 + w1 / 2, x2 + w2 / 2) - max(x1 - w1 / 2, x2 - w2 / 2)


def box_iou(a: Box, b: Box) -> float:
    w, h = _overlap(a[0], a[2], b[0], b[2]), _overlap(a[1], a[3], b[1], b[3])
    intersection = 0.0 if w < 0 or h < 0 else w * h
    union = a[2] * a[3] + b[2] * b[3] - intersection
    return 0.0 if intersection == 0 or union == 0 else intersection / union


def box_diounms(a: Box, b: Box, beta1: float) -> float:
    top = min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    bot = max(a[1] + a[3] / 2, b[1] + b[3] / 2)
    left = min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    right = max(a[0] + a[2] / 2, b[0] + b[2] / 2)
    c = (right - left) ** 2 + (bot - top) ** 2
    iou = box_iou(a, b)
    if c == 0:
        return iou
    d = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    return iou - math.pow(d / c, beta1)


def nms(
    found: list[Found], kind: str = "default", beta: float = 0.6, thresh: float = 0.45
) -> list[Found]:
    """do_nms_sort, and diounms_sort for greedynms and diounms; the best 100 from 0.001 on."""
    kept: list[Found] = []
    for class_id in sorted({f.class_id for f in found}):
        dets = sorted(
            (f for f in found if f.class_id == class_id and f.score >= 0.001),
            key=lambda f: -f.score,
        )
        prob = [f.score for f in dets]
        for i in range(len(dets)):
            if prob[i] == 0:
                continue
            for j in range(i + 1, len(dets)):
                a, b = dets[i].box, dets[j].box
                if (
                    (kind == "default" and box_iou(a, b) > thresh)
                    # box_diou is box_diounms with 0.6
                    or (kind == "greedynms" and box_diounms(a, b, 0.6) > thresh)
                    or (kind == "diounms" and box_diounms(a, b, beta) > thresh)
                ):
                    prob[j] = 0
        kept += [f for f, p in zip(dets, prob, strict=True) if p]
    return sorted(kept, key=lambda f: -f.score)[:100]
