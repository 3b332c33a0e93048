"""From heads to detections: box decoding and NMS.

The score floor is far below any threshold a caller would choose. With greedy NMS, applying the
caller's threshold afterwards gives the same boxes as applying it before.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network.heads import Yolo
from yolov4.network.network import Network

Tensor: TypeAlias = Any  # tensorflow ships no types

SCORE_FLOOR = 0.001  # keep >=
IOU_THRESHOLD = 0.45  # suppress >
MAX_DETECTIONS = 100  # per picture, over all classes


class Detections(NamedTuple):
    """Rows by descending score; rows from `count` on are zeros."""

    boxes_xyxy: Tensor  # float32 [N, MAX_DETECTIONS, 4], pixels of the picture
    scores: Tensor  # float32 [N, MAX_DETECTIONS]
    classes: Tensor  # int32 [N, MAX_DETECTIONS]
    count: Tensor  # int32 [N]


def decode(
    network: Network, yolo: Yolo, grid: tuple[int, int], raw: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Decode rows of one head into boxes and scores; a row is one anchor of one cell.

    grid: the head's rows and columns. raw: float32 [K, 5 + classes], before the logistic. index:
    int64 [K], positions of these rows: (row x columns + column) x anchors + anchor.
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
        # The convolution before [yolo] already has activation=logistic.
        wh = tf.square(2.0 * wh) * wh_anchor
    else:
        xy, objectness, class_scores = map(tf.sigmoid, (xy, objectness, class_scores))
        wh = tf.exp(wh) * wh_anchor
    # scale_x_y lets a centre reach the border of its cell, which a logistic only approaches.
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
    result: Detections = tf.map_fn(
        # Autograph in TensorFlow 2.10 does not support zip(strict=True).
        tf.autograph.experimental.do_not_convert(
            lambda i: _picture(network, [head[i] for head in heads], sizes[i])
        ),
        tf.range(tf.shape(sizes)[0]),
        fn_output_signature=signature,
        parallel_iterations=32,
    )
    return result


def _picture(network: Network, heads: Sequence[Tensor], size: Tensor) -> Detections:
    boxes: list[Tensor] = []
    scores: list[Tensor] = []
    for yolo, head in zip(network.heads, heads, strict=True):
        grid = int(head.shape[0]), int(head.shape[1])
        flat = tf.reshape(head, [-1, 5 + yolo.classes])
        # A class score is at most its box's objectness, which is low for nearly all boxes: only
        # boxes at or above the floor are decoded.
        index = tf.where(flat[:, 4] >= _least_objectness(yolo))[:, 0]
        raw = tf.gather(flat, index)
        for parts, part in zip(
            (boxes, scores), decode(network, yolo, grid, raw, index), strict=True
        ):
            parts.append(part)
    # NMS in fractions of the input: stretching an axis does not change the IoU. Nor does the order
    # of the axes, so x may come before y.
    selected = tf.image.combined_non_max_suppression(
        tf.concat(boxes, axis=0)[tf.newaxis, :, tf.newaxis],
        tf.concat(scores, axis=0)[tf.newaxis],
        max_output_size_per_class=MAX_DETECTIONS,
        max_total_size=MAX_DETECTIONS,
        iou_threshold=IOU_THRESHOLD,
        # The operation keeps scores above its threshold; here the floor itself is kept too.
        score_threshold=float(np.nextafter(np.float32(SCORE_FLOOR), np.float32(0))),
        clip_boxes=False,
    )
    height, width = tf.unstack(tf.cast(size, tf.float32))
    return Detections(
        selected.nmsed_boxes[0] * tf.stack([width, height, width, height]),
        selected.nmsed_scores[0],
        tf.cast(selected.nmsed_classes[0], tf.int32),
        selected.valid_detections[0],
    )


def _least_objectness(yolo: Yolo) -> float:
    """Slightly below the lowest raw objectness with which a score can reach the floor."""
    least = 0.999 * SCORE_FLOOR
    return least if yolo.new_coords else math.log(least / (1.0 - least))
