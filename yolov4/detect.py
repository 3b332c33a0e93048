"""Heads -> detections: what the numbers mean, and which of the boxes survive.

No policy: everything above a floor far below any threshold a caller would choose. For greedy NMS,
thresholding afterwards gives the same boxes as thresholding before.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network import Network, Yolo

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


def decode_head(network: Network, yolo: Yolo, head: Tensor) -> tuple[Tensor, Tensor]:
    """One head's boxes and scores, a row for every anchor of every cell.

    head: float32 [N, rows, columns, anchors x (5 + classes)], before any logistic.
    Returns boxes_xyxy float32 [N, rows x columns x anchors, 4] as fractions of the input's width
    and height, not clipped, and scores float32 [N, rows x columns x anchors, classes].
    Source: Darknet's src/yolo_layer.c, forward_yolo_layer and get_yolo_box.
    """
    rows, columns = int(head.shape[1]), int(head.shape[2])
    x = tf.reshape(head, [-1, rows, columns, len(yolo.anchors), 5 + yolo.classes])
    xy, wh, objectness, class_scores = tf.split(x, [2, 2, 1, yolo.classes], axis=-1)
    anchors = np.array(yolo.anchors, np.float32) / (network.width, network.height)
    if yolo.new_coords:
        # Here the convolution before [yolo] has activation=logistic: nothing is left to squash.
        wh = tf.square(2.0 * wh) * anchors.astype(np.float32)
    else:
        xy, objectness, class_scores = map(tf.sigmoid, (xy, objectness, class_scores))
        wh = tf.exp(wh) * anchors.astype(np.float32)
    # scale_x_y lets a centre reach the border of its cell, where a logistic never quite gets.
    xy = xy * yolo.scale_x_y - 0.5 * (yolo.scale_x_y - 1.0)
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)[:, :, None]
    centre = (xy + cells.astype(np.float32)) / np.array([columns, rows], np.float32)
    boxes_xyxy = tf.concat([centre - wh / 2.0, centre + wh / 2.0], axis=-1)
    boxes = rows * columns * len(yolo.anchors)
    return (
        tf.reshape(boxes_xyxy, [-1, boxes, 4]),
        tf.reshape(objectness * class_scores, [-1, boxes, yolo.classes]),
    )


def detections(network: Network, heads: Sequence[Tensor], sizes: Tensor) -> Detections:
    """The best boxes of every picture.

    heads: as `graph.body` returns them. sizes: int32 [N, 2], height and width of each picture in
    pixels, to which the boxes are scaled.
    """
    decoded = [
        decode_head(network, yolo, head) for yolo, head in zip(network.heads, heads, strict=True)
    ]
    boxes_xyxy = tf.concat([boxes for boxes, _ in decoded], axis=1)
    scores = tf.concat([scores for _, scores in decoded], axis=1)
    # NMS in fractions of the input: stretching an axis changes no IoU. Which corner comes first on
    # which axis is all the same to it as well, so x before y may stay.
    kept = tf.image.combined_non_max_suppression(
        tf.expand_dims(boxes_xyxy, axis=2),
        scores,
        max_output_size_per_class=MAX_DETECTIONS,
        max_total_size=MAX_DETECTIONS,
        iou_threshold=IOU_THRESHOLD,
        # The op keeps what is above its threshold, we what is at it too.
        score_threshold=float(np.nextafter(np.float32(SCORE_FLOOR), np.float32(0))),
        clip_boxes=False,
    )
    height, width = tf.unstack(tf.cast(sizes, tf.float32), axis=1)
    pixels = tf.stack([width, height, width, height], axis=1)
    return Detections(
        kept.nmsed_boxes * pixels[:, tf.newaxis],
        kept.nmsed_scores,
        tf.cast(kept.nmsed_classes, tf.int32),
        kept.valid_detections,
    )
