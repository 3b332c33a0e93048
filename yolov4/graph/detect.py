"""Heads -> detections: what the numbers mean, and which of the boxes survive.

No policy: everything above a floor far below any threshold a caller would choose. For greedy NMS,
thresholding afterwards gives the same boxes as thresholding before.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network.layers import Network, Yolo

Tensor: TypeAlias = Any  # tensorflow ships no types

SCORE_FLOOR = 0.001  # keep >=
IOU_THRESHOLD = 0.45  # suppress >
MAX_DETECTIONS = 100  # per picture, over all classes


class Detections(NamedTuple):
    """Rows by falling score; rows from `count` on are zeros."""

    boxes_xyxy: Tensor  # float32 [N, MAX_DETECTIONS, 4], pixels of the picture
    scores: Tensor  # float32 [N, MAX_DETECTIONS]
    classes: Tensor  # int32 [N, MAX_DETECTIONS]
    count: Tensor  # int32 [N]


def decode(
    network: Network, yolo: Yolo, grid: tuple[int, int], raw: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Boxes and scores of some rows of one head, a row being one anchor of one cell.

    grid: the head's rows and columns. raw: float32 [K, 5 + classes], before any logistic. index:
    int64 [K], which rows these are: (row x columns + column) x anchors + anchor.
    Returns boxes_xyxy float32 [K, 4] as fractions of the input's width and height, not clipped, and
    scores float32 [K, classes].
    Source: Darknet's src/yolo_layer.c, forward_yolo_layer and get_yolo_box.
    """
    rows, columns = grid
    cell, anchor = index // len(yolo.anchors), index % len(yolo.anchors)
    xy, wh, objectness, class_scores = tf.split(raw, [2, 2, 1, yolo.classes], axis=1)
    anchors = np.array(yolo.anchors, np.float32) / (network.width, network.height)
    wh_anchor = tf.gather(anchors.astype(np.float32), anchor)
    if yolo.new_coords:
        # Here the convolution before [yolo] has activation=logistic: nothing is left to squash.
        wh = tf.square(2.0 * wh) * wh_anchor
    else:
        xy, objectness, class_scores = map(tf.sigmoid, (xy, objectness, class_scores))
        wh = tf.exp(wh) * wh_anchor
    # scale_x_y lets a centre reach the border of its cell, where a logistic never quite gets.
    xy = xy * yolo.scale_x_y - 0.5 * (yolo.scale_x_y - 1.0)
    corner = tf.cast(tf.stack([cell % columns, cell // columns], axis=1), tf.float32)
    centre = (xy + corner) / np.array([columns, rows], np.float32)
    return tf.concat([centre - wh / 2.0, centre + wh / 2.0], axis=1), objectness * class_scores


def detections(network: Network, heads: Sequence[Tensor], sizes: Tensor) -> Detections:
    """The best boxes of every picture.

    heads: as `graph.body` returns them. sizes: int32 [N, 2], height and width of each picture in
    pixels, to which the boxes are scaled.
    """
    signature = Detections(
        tf.TensorSpec([MAX_DETECTIONS, 4], tf.float32),
        tf.TensorSpec([MAX_DETECTIONS], tf.float32),
        tf.TensorSpec([MAX_DETECTIONS], tf.int32),
        tf.TensorSpec([], tf.int32),
    )
    found: Detections = tf.map_fn(
        # What autograph of TensorFlow 2.10 would make of it knows no zip(strict=True).
        tf.autograph.experimental.do_not_convert(
            lambda i: _picture(network, [head[i] for head in heads], sizes[i])
        ),
        tf.range(tf.shape(sizes)[0]),
        fn_output_signature=signature,
        parallel_iterations=32,
    )
    return found


def _picture(network: Network, heads: Sequence[Tensor], size: Tensor) -> Detections:
    boxes: list[Tensor] = []
    scores: list[Tensor] = []
    for yolo, head in zip(network.heads, heads, strict=True):
        grid = int(head.shape[0]), int(head.shape[1])
        flat = tf.reshape(head, [-1, 5 + yolo.classes])
        # No class scores more than its box's objectness, and of all boxes few have any: only those
        # are decoded, and only their classes looked at.
        index = tf.where(flat[:, 4] >= _least_objectness(yolo))[:, 0]
        raw = tf.gather(flat, index)
        for parts, part in zip(
            (boxes, scores), decode(network, yolo, grid, raw, index), strict=True
        ):
            parts.append(part)
    # NMS in fractions of the input: stretching an axis changes no IoU. Which corner comes first on
    # which axis is all the same to it as well, so x before y may stay.
    kept = tf.image.combined_non_max_suppression(
        tf.concat(boxes, axis=0)[tf.newaxis, :, tf.newaxis],
        tf.concat(scores, axis=0)[tf.newaxis],
        max_output_size_per_class=MAX_DETECTIONS,
        max_total_size=MAX_DETECTIONS,
        iou_threshold=IOU_THRESHOLD,
        # The op keeps what is above its threshold, we what is at it too.
        score_threshold=float(np.nextafter(np.float32(SCORE_FLOOR), np.float32(0))),
        clip_boxes=False,
    )
    height, width = tf.unstack(tf.cast(size, tf.float32))
    return Detections(
        kept.nmsed_boxes[0] * tf.stack([width, height, width, height]),
        kept.nmsed_scores[0],
        tf.cast(kept.nmsed_classes[0], tf.int32),
        kept.valid_detections[0],
    )


def _least_objectness(yolo: Yolo) -> float:
    """A little below the raw objectness at which a score can reach the floor."""
    least = 0.999 * SCORE_FLOOR
    return least if yolo.new_coords else math.log(least / (1.0 - least))
