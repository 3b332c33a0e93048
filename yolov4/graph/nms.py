"""Non-maximum suppression per class: by IoU, or by DIoU as Darknet does it.

Source of the latter: diounms_sort, box_diou and box_diounms in Darknet's src/box.c, which
src/detector.c calls for every `nms_kind` but the default.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

Tensor: TypeAlias = Any  # tensorflow ships no types

SCORE_FLOOR = 0.001  # keep >=
IOU_THRESHOLD = 0.45  # suppress >
MAX_DETECTIONS = 100  # per picture, over all classes

# How DIoU-NMS goes through the candidates, best first: BLOCK of them are compared with each other;
# WINDOW is where the next are looked for, so that one that suppresses thousands costs little. The
# BEST nearly always suffice, and sorting half a million takes longer than all the rest.
BLOCK, WINDOW, BEST = 128, 1024, 4096


class Selection(NamedTuple):
    """Rows by descending score, zeros after the last."""

    boxes: Tensor  # float32 [MAX_DETECTIONS, 4], xyxy
    scores: Tensor  # float32 [MAX_DETECTIONS]
    classes: Tensor  # int32 [MAX_DETECTIONS]
    count: Tensor  # int32 []


def select(boxes: Tensor, scores: Tensor, beta: float | None) -> Selection:
    """The best boxes of one picture.

    boxes: float32 [K, 4], xyxy as fractions of the picture. scores: float32 [K, classes].
    beta: exponent of the distance's penalty, see `Network.nms_beta`; None for plain IoU.
    """
    if beta is None:
        return _by_iou(boxes, scores)
    with tf.device("/CPU:0"):  # many small operations, one of them for the CPU only
        return _by_diou(boxes, scores, beta)


def _by_iou(boxes: Tensor, scores: Tensor) -> Selection:
    # The order of the axes does not matter to the IoU, so x may come before y.
    selected = tf.image.combined_non_max_suppression(
        boxes[tf.newaxis, :, tf.newaxis],
        scores[tf.newaxis],
        max_output_size_per_class=MAX_DETECTIONS,
        max_total_size=MAX_DETECTIONS,
        iou_threshold=IOU_THRESHOLD,
        # The operation keeps scores above its threshold; here the floor itself is kept too.
        score_threshold=float(np.nextafter(np.float32(SCORE_FLOOR), np.float32(0))),
        clip_boxes=False,
    )
    return Selection(
        selected.nmsed_boxes[0],
        selected.nmsed_scores[0],
        tf.cast(selected.nmsed_classes[0], tf.int32),
        selected.valid_detections[0],
    )


def _by_diou(boxes: Tensor, scores: Tensor, beta: float) -> Selection:
    flat = tf.reshape(scores, [-1])
    candidates = tf.where(flat >= SCORE_FLOOR)[:, 0]  # a box and a class each
    every = tf.gather(flat, candidates)
    total = tf.size(every)

    def attempt(limit: Tensor, *_: Tensor) -> list[Tensor]:
        limit = tf.where(limit > 0, total, tf.minimum(total, BEST))
        top, order = tf.math.top_k(every, limit)
        at = tf.gather(candidates, order)
        classes = tf.cast(at % scores.shape[1], tf.int32)
        return [limit, *_greedy(tf.gather(boxes, at // scores.shape[1]), top, classes, beta)]

    def insufficient(limit: Tensor, *selected: Tensor) -> Tensor:
        return (limit < total) & (selected[-1] < MAX_DETECTIONS)

    nothing = [tf.zeros([MAX_DETECTIONS, *rest]) for rest in ([4], [])]
    nothing += [tf.zeros([MAX_DETECTIONS], tf.int32), tf.constant(0)]
    _, *selected = tf.while_loop(insufficient, attempt, [tf.constant(0), *nothing])
    return Selection(*selected)


def _greedy(boxes: Tensor, scores: Tensor, classes: Tensor, beta: float) -> Selection:
    """boxes [K, 4], scores and classes [K], best first."""
    total = tf.size(scores)

    def proceed(start: Tensor, *kept: Tensor) -> list[Tensor]:
        end = tf.minimum(start + WINDOW, total)
        rivals = _suppressed(kept[0], kept[2], boxes[start:end], classes[start:end], beta)
        free = tf.cast(tf.where(~tf.reduce_any(rivals, axis=0))[:, 0], tf.int32)
        more = tf.size(free) > BLOCK
        following = tf.cond(more, lambda: start + free[BLOCK], lambda: end)
        block = [tf.gather(part, start + free[:BLOCK]) for part in (boxes, scores, classes)]
        rivals = _suppressed(block[0], block[2], block[0], block[2], beta)
        chosen = tf.image.non_max_suppression_overlaps(
            *(tf.cast(rivals, tf.float32), block[1], MAX_DETECTIONS - tf.size(kept[1])),
            overlap_threshold=0.5,  # between those that suppress each other, 1, and the others, 0
        )
        pairs = zip(kept, block)  # noqa: B905 - Autograph in TensorFlow 2.10 rejects strict
        return [following, *(tf.concat([k, tf.gather(b, chosen)], axis=0) for k, b in pairs)]

    def unfinished(start: Tensor, *kept: Tensor) -> Tensor:
        return (start < total) & (tf.size(kept[1]) < MAX_DETECTIONS)

    nothing = [tf.zeros([0, 4]), tf.zeros([0]), tf.zeros([0], tf.int32)]
    shapes = [tf.TensorShape([None, *part.shape[1:]]) for part in nothing]
    _, *kept = tf.while_loop(
        *(unfinished, proceed, [0, *nothing]), shape_invariants=[tf.TensorShape([]), *shapes]
    )
    count = tf.size(kept[1])
    padded = []
    for part in kept:
        rest = [[0, MAX_DETECTIONS - count], *([0, 0] for _ in part.shape[1:])]
        part = tf.pad(part, rest)
        padded.append(tf.ensure_shape(part, [MAX_DETECTIONS, *part.shape[1:]]))
    return Selection(padded[0], padded[1], padded[2], count)


def _suppressed(
    boxes: Tensor, classes: Tensor, others: Tensor, their_classes: Tensor, beta: float
) -> Tensor:
    """bool [K, M]: of which boxes [K, 4] suppress which others [M, 4]."""
    # Not `==`, which compares identities in a TensorFlow 1 graph.
    same = tf.equal(classes[:, tf.newaxis], their_classes)
    return same & (diou(boxes, others, beta) > IOU_THRESHOLD)


def diou(boxes: Tensor, others: Tensor, beta: float) -> Tensor:
    """IoU less the penalty for distance, of boxes [K, 4] and others [M, 4]: float32 [K, M]."""
    (left, top, right, bottom), theirs = tf.unstack(boxes[:, tf.newaxis], axis=-1), others
    their_left, their_top, their_right, their_bottom = tf.unstack(theirs, axis=-1)

    across = tf.minimum(right, their_right) - tf.maximum(left, their_left)
    down = tf.minimum(bottom, their_bottom) - tf.maximum(top, their_top)
    both = tf.nn.relu(across) * tf.nn.relu(down)
    areas = (right - left) * (bottom - top)
    their_areas = (their_right - their_left) * (their_bottom - their_top)
    iou = tf.math.divide_no_nan(both, areas + their_areas - both)

    width = tf.maximum(right, their_right) - tf.minimum(left, their_left)
    height = tf.maximum(bottom, their_bottom) - tf.minimum(top, their_top)
    x = (left + right - their_left - their_right) / 2.0
    y = (top + bottom - their_top - their_bottom) / 2.0
    distance = tf.math.divide_no_nan(x * x + y * y, width * width + height * height)
    # tf.pow, which is not vectorized, took a quarter of all detecting.
    return iou - tf.exp(beta * tf.math.log(distance))
