"""The loss: assignment of anchors to objects, and the error of boxes, objectness and classes.

In the cell of an object's centre, every anchor whose IoU with it (both centred on one point)
exceeds ASSIGN_IOU is assigned to it, and the best anchor in any case (Bochkovskiy et al., YOLOv4,
section 3.4: several anchors for one ground truth). Boxes are compared by CIoU (Zheng et al.,
arXiv:2005.03572).
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from yolov4.graph.body import Tensor
from yolov4.network.heads import Yolo
from yolov4.network.network import Network

ASSIGN_IOU = 0.4  # 0.213 in Darknet's yolov4.cfg; looser matches cost a narrow network accuracy
IGNORE_IOU = 0.7  # Darknet's ignore_thresh: better boxes are not penalized, even if not assigned
BOX_WEIGHT, CLASS_WEIGHT = 6.0, 2.0


class Truth(NamedTuple):
    """The objects of a batch, each picture's padded to the same number."""

    boxes: Tensor  # float32 [N, M, 4] cxcywh, fractions of the input
    classes: Tensor  # int32 [N, M], -1 for padding


class Losses(NamedTuple):
    box: Tensor  # mean of 1 - CIoU over the assigned anchors
    objectness: Tensor  # cross entropy over all anchors, per assigned anchor
    classes: Tensor  # cross entropy over all classes, per assigned anchor

    @property
    def total(self) -> Tensor:
        return BOX_WEIGHT * self.box + self.objectness + CLASS_WEIGHT * self.classes


def losses(network: Network, heads: list[Tensor], truth: Truth) -> Losses:
    """heads: float32, as `forward` returns them: before the logistic."""
    size = tf.constant([network.width, network.height], tf.float32)
    boxes = truth.boxes * tf.tile(size, [2])  # input pixels
    there = truth.classes >= 0
    answering = tf.split(_assigned(network, boxes, there), _counts(network), axis=-1)
    box = objectness = classes = answers = tf.constant(0.0)
    for yolo, head, mask in zip(network.heads, heads, answering, strict=True):
        assert isinstance(yolo, Yolo)  # `train` refuses other heads
        rows, columns = int(head.shape[1]), int(head.shape[2])
        x = tf.reshape(head, [-1, rows, columns, len(yolo.anchors), 5 + yolo.classes])
        decoded = _decode(network, yolo, x)  # [N, rows, columns, A, 4] cxcywh

        # The assigned anchors in the cell of each object's centre: [K, 4].
        at = tf.where(mask)  # [K, 3]: picture, object, anchor
        mine = tf.gather_nd(boxes, at[:, :2])  # [K, 4]
        cell = tf.cast(mine[:, :2] / size * [columns, rows], tf.int64)
        cell = tf.clip_by_value(cell, 0, [columns - 1, rows - 1])
        where = tf.stack([at[:, 0], cell[:, 1], cell[:, 0], at[:, 2]], axis=1)

        predicted = tf.gather_nd(decoded, where)
        ciou, iou = _ciou(predicted, mine)
        box += tf.reduce_sum(1.0 - ciou)

        wanted = tf.one_hot(tf.gather_nd(truth.classes, at[:, :2]), yolo.classes)
        logits = tf.gather_nd(x[..., 5:], where)
        classes += tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits))

        # Half of the objectness target is the box's IoU, so that NMS keeps the better of two boxes.
        quality = tf.stop_gradient(0.5 + 0.5 * tf.clip_by_value(iou, 0.0, 1.0))
        target = tf.tensor_scatter_nd_max(tf.zeros_like(x[..., 4]), where, quality)
        good = _best_iou(decoded, boxes, there) > IGNORE_IOU
        counted = tf.cast((target > 0) | ~good, tf.float32)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(target, x[..., 4])
        objectness += tf.reduce_sum(entropy * counted)
        answers += tf.cast(tf.shape(at)[0], tf.float32)
    answers = tf.maximum(answers, 1.0)
    return Losses(box / answers, objectness / answers, classes / answers)


def _counts(network: Network) -> list[int]:
    return [len(yolo.anchors) for yolo in network.heads]


def _assigned(network: Network, boxes: Tensor, there: Tensor) -> Tensor:
    """bool [N, M, anchors of all heads]: which anchor is assigned to which object."""
    anchors = np.array([pair for yolo in network.heads for pair in yolo.anchors], np.float32)
    wh = boxes[..., tf.newaxis, 2:]  # [N, M, 1, 2]
    both = tf.reduce_prod(tf.minimum(wh, anchors), axis=-1)
    iou = both / (tf.reduce_prod(wh, axis=-1) + anchors.prod(axis=1) - both + 1e-9)
    best = tf.equal(
        tf.range(len(anchors)), tf.argmax(iou, axis=-1, output_type=tf.int32)[..., None]
    )
    return (best | (iou > ASSIGN_IOU)) & there[..., tf.newaxis]


def _decode(network: Network, yolo: Yolo, x: Tensor) -> Tensor:
    """Boxes cxcywh in input pixels, as in `detect.decode`."""
    rows, columns = int(x.shape[1]), int(x.shape[2])
    anchors = np.array(yolo.anchors, np.float32)
    xy = tf.sigmoid(x[..., :2]) * yolo.scale_x_y - 0.5 * (yolo.scale_x_y - 1.0)
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)[:, :, None]
    stride = np.array([network.width / columns, network.height / rows], np.float32)
    if yolo.new_coords:  # at most four anchors wide
        wh = tf.square(2.0 * tf.sigmoid(x[..., 2:4])) * anchors
    else:
        wh = tf.exp(tf.minimum(x[..., 2:4], 8.0)) * anchors
    return tf.concat([(xy + cells.astype(np.float32)) * stride, wh], axis=-1)


def _corners(boxes_cxcywh: Tensor) -> tuple[Tensor, Tensor]:
    half = boxes_cxcywh[..., 2:] / 2.0
    return boxes_cxcywh[..., :2] - half, boxes_cxcywh[..., :2] + half


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """Of boxes cxcywh [..., 4] whose leading axes broadcast."""
    (low_a, high_a), (low_b, high_b) = _corners(first), _corners(second)
    across = tf.maximum(tf.minimum(high_a, high_b) - tf.maximum(low_a, low_b), 0.0)
    both = across[..., 0] * across[..., 1]
    areas = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3]
    return both / (areas - both + 1e-9)


def _best_iou(decoded: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
    """float32 [N, rows, columns, A]: each decoded box's highest IoU with an object."""
    decoded = tf.stop_gradient(decoded)
    shape = tf.shape(decoded)
    flat = tf.reshape(decoded, [shape[0], -1, 1, 4])
    iou = _iou(flat, boxes[:, tf.newaxis])  # [N, boxes, M]
    iou = tf.reduce_max(tf.where(there[:, tf.newaxis], iou, 0.0), axis=-1)
    return tf.reshape(iou, shape[:-1])


def _ciou(predicted: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """CIoU and IoU of boxes cxcywh [K, 4], row by row."""
    (low_a, high_a), (low_b, high_b) = _corners(predicted), _corners(wanted)
    iou = _iou(predicted, wanted)
    hull = tf.maximum(high_a, high_b) - tf.minimum(low_a, low_b)
    apart = tf.reduce_sum(tf.square(predicted[:, :2] - wanted[:, :2]), axis=1)
    distance = apart / (tf.reduce_sum(tf.square(hull), axis=1) + 1e-9)
    angles = tf.atan2(wanted[:, 2], wanted[:, 3]) - tf.atan2(predicted[:, 2], predicted[:, 3])
    shape = 4.0 / math.pi**2 * tf.square(angles)
    alpha = tf.stop_gradient(shape / (1.0 - iou + shape + 1e-9))
    return iou - distance - alpha * shape, iou
