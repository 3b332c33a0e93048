"""From a head's rows to boxes and scores.

Source: Darknet's forward_*_layer and get_*_box in src/yolo_layer.c, src/gaussian_yolo_layer.c and
src/region_layer.c.
"""

import math
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network.heads import GaussianYolo, Head, Region, Yolo
from yolov4.network.network import Network

Tensor: TypeAlias = Any  # tensorflow ships no types

# Where x and y of a [Gaussian_yolo] are: what to add to get the centre, in sides of the box.
TO_CENTER = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}


def decode(
    network: Network, head: Head, grid: tuple[int, int], raw: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Decode rows of one head into boxes and scores; a row is one anchor of one cell.

    grid: the head's rows and columns. raw: float32 [K, head.row], before the logistic. index: int64
    [K], positions of these rows: (row x columns + column) x anchors + anchor.
    Returns boxes_xyxy float32 [K, 4] as fractions of the input's width and height, not clipped, and
    scores float32 [K, classes].
    """
    rows, columns = grid
    cell, anchor = index // len(head.anchors), index % len(head.anchors)
    corner = tf.cast(tf.stack([cell % columns, cell // columns], axis=1), tf.float32)
    size = (columns, rows) if isinstance(head, Region) else (network.width, network.height)
    anchors = (np.array(head.anchors, np.float32) / size).astype(np.float32)
    xy, wh, scores = _parts(head, raw)
    wh = wh * tf.gather(anchors, anchor)
    centre = (xy + corner) / np.array([columns, rows], np.float32)
    if isinstance(head, GaussianYolo):
        centre += TO_CENTER[head.point] * wh
    return tf.concat([centre - wh / 2.0, centre + wh / 2.0], axis=1), scores


def _parts(head: Head, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x and y within the cell, width and height in anchors, and the scores."""
    values, objectness, classes = tf.split(raw, [head.box_values, 1, head.classes], axis=1)
    if isinstance(head, Yolo) and head.new_coords:
        # The convolution before [yolo] already has activation=logistic.
        xy, wh = tf.split(values, 2, axis=1)
        return _scaled(head, xy), tf.square(2.0 * wh), objectness * classes
    objectness = tf.sigmoid(objectness)
    if isinstance(head, GaussianYolo):
        # Each value is followed by the logit of its uncertainty, the mean of which lowers scores.
        certainty = 1.0 - tf.reduce_mean(tf.sigmoid(values[:, 1::2]), axis=1, keepdims=True)
        xy, wh = tf.split(values[:, ::2], 2, axis=1)
        scores = objectness * tf.sigmoid(classes) * certainty
        return _scaled(head, tf.sigmoid(xy)), tf.exp(wh), scores
    xy, wh = tf.split(values, 2, axis=1)
    if isinstance(head, Region):
        return tf.sigmoid(xy), tf.exp(wh), objectness * tf.nn.softmax(classes)
    assert isinstance(head, Yolo)
    return _scaled(head, tf.sigmoid(xy)), tf.exp(wh), objectness * tf.sigmoid(classes)


def _scaled(head: Yolo | GaussianYolo, xy: Tensor) -> Tensor:
    # scale_x_y lets a centre reach the border of its cell, which a logistic only approaches.
    return xy * head.scale_x_y - 0.5 * (head.scale_x_y - 1.0)


def least_objectness(head: Head, floor: float) -> float:
    """Slightly below the lowest raw objectness with which a score can reach the floor."""
    least = 0.999 * floor
    if isinstance(head, Yolo) and head.new_coords:
        return least
    return math.log(least / (1.0 - least))
