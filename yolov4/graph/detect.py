"""From heads to detections: box decoding and NMS.

The score floor is far below any threshold a caller would choose. With greedy NMS, applying the
caller's threshold afterwards gives the same boxes as applying it before.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from yolov4.graph.decode import decode, least_objectness
from yolov4.graph.nms import MAX_DETECTIONS, SCORE_FLOOR, select
from yolov4.graph.preprocess import to_picture
from yolov4.network.network import Network

Tensor: TypeAlias = Any  # tensorflow ships no types


class Detections(NamedTuple):
    """Rows by descending score; rows from `count` on are zeros."""

    boxes_xyxy: Tensor  # float32 [N, MAX_DETECTIONS, 4], pixels of the picture
    scores: Tensor  # float32 [N, MAX_DETECTIONS]
    classes: Tensor  # int32 [N, MAX_DETECTIONS]
    count: Tensor  # int32 [N]


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
    for head, raw in zip(network.heads, heads, strict=True):
        grid = int(raw.shape[0]), int(raw.shape[1])
        flat = tf.reshape(raw, [-1, head.row])
        # A class score is at most its box's objectness, which is low for nearly all boxes: only
        # boxes at or above the floor are decoded.
        objectness = flat[:, head.box_values]
        index = tf.where(objectness >= least_objectness(head, SCORE_FLOOR))[:, 0]
        decoded = decode(network, head, grid, tf.gather(flat, index), index)
        for parts, part in zip((boxes, scores), decoded, strict=True):
            parts.append(part)
    # NMS in fractions of the picture: stretching an axis does not change the IoU, but it does
    # change the DIoU, and fractions are what Darknet compares.
    fractions = to_picture(network, tf.concat(boxes, axis=0), size)
    selected = select(fractions, tf.concat(scores, axis=0), network.nms_beta)
    height, width = tf.unstack(tf.cast(size, tf.float32))
    return Detections(
        selected.boxes * tf.stack([width, height, width, height]),
        selected.scores,
        selected.classes,
        selected.count,
    )
