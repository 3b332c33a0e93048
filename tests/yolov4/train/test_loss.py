"""Who answers for what, and that the loss is zero only where it should be."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from yolov4.graph.decode import decode
from yolov4.network.heads import Yolo
from yolov4.network.network import Network
from yolov4.train.loss import Losses, Truth, _assigned, _ciou, _decode, losses

NETWORK = Network(64, 96, 3, ())
SMALL = Yolo(((10.0, 10.0), (20.0, 10.0)), 3, 1.2)
LARGE = Yolo(((40.0, 40.0), (20.0, 60.0)), 3, 1.05)


def truth(*objects: tuple[float, float, float, float, int]) -> Truth:
    """One picture's objects: centre, width and height in input pixels, and the class."""
    boxes = np.zeros((1, 4, 4), np.float32)
    classes = np.full((1, 4), -1, np.int32)
    for i, (x, y, w, h, class_id) in enumerate(objects):
        boxes[0, i] = np.array([x, y, w, h]) / (64, 96, 64, 96)
        classes[0, i] = class_id
    return Truth(tf.constant(boxes), tf.constant(classes))


def two_heads() -> Network:
    network = replace(NETWORK, layers=(SMALL, LARGE))
    assert network.heads == (SMALL, LARGE)
    return network


def test_the_best_anchor_answers_and_every_other_that_is_good_enough() -> None:
    one = truth((30, 30, 10, 10, 0), (30, 30, 24, 60, 1), (5, 5, 2, 2, 2))
    boxes = one.boxes * [64, 96, 64, 96]
    found = _assigned(two_heads(), boxes, one.classes >= 0)[0].numpy().tolist()
    # IoU with the four anchors: 1, 1/2, 1/16, 1/12; then 0.07, 0.14, 0.49, 0.83; then too small
    # for any, so the best alone; then nothing there.
    assert found == [
        [True, True, False, False],
        [False, False, True, True],
        [True, False, False, False],
        [False, False, False, False],
    ]


@pytest.mark.parametrize("new_coords", [False, True])
def test_the_loss_decodes_as_detection_does(new_coords: bool) -> None:
    yolo = replace(SMALL, new_coords=new_coords)
    head = np.random.default_rng(0).normal(0, 1, (2, 6, 4, 2 * 8)).astype(np.float32)
    # With new_coords, the logistic is part of the network that is served, but not of the loss's.
    served = tf.sigmoid(head) if new_coords else tf.constant(head)
    every = tf.range(6 * 4 * 2)
    boxes_xyxy = tf.stack(
        [
            decode(NETWORK, yolo, (6, 4), tf.reshape(one, [-1, 8]), every)[0]
            for one in tf.unstack(served)
        ]
    )
    found = _decode(NETWORK, yolo, tf.reshape(head, [2, 6, 4, 2, 8]))
    found = tf.reshape(found, [2, -1, 4])
    corners = tf.concat(
        [found[..., :2] - found[..., 2:] / 2, found[..., :2] + found[..., 2:] / 2], -1
    )
    np.testing.assert_allclose(corners, boxes_xyxy * [64, 96, 64, 96], rtol=1e-4, atol=1e-3)


def test_new_coords_have_a_gradient_where_the_logistic_is_saturated() -> None:
    """An object that the head is sure is absent: its logistic is 2e-9."""
    network = replace(NETWORK, layers=(replace(SMALL, new_coords=True), LARGE))
    small = np.full((1, 12, 8, 2, 8), -20, np.float32)
    heads = [tf.constant(small.reshape(1, 12, 8, 16)), tf.fill([1, 6, 4, 16], -20.0)]
    with tf.GradientTape() as tape:
        tape.watch(heads)
        total = losses(network, heads, truth((20, 28, 10, 10, 1))).total
    gradient = tf.reshape(tape.gradient(total, heads)[0], [12, 8, 2, 8])[3, 2, 0].numpy()
    assert np.isfinite(gradient).all()
    assert gradient[4] < -0.1
    assert gradient[5 + 1] < -0.1


def test_ciou() -> None:
    """1 for the same box; IoU less the centres' distance over the hull's diagonal, squared."""
    box = tf.constant([[10.0, 10.0, 4.0, 4.0]] * 3)
    other = tf.constant([[10.0, 10.0, 4.0, 4.0], [12.0, 10.0, 4.0, 4.0], [20.0, 10.0, 4.0, 4.0]])
    ciou, iou = _ciou(box, other)
    np.testing.assert_allclose(iou, [1, 8 / 24, 0], atol=1e-6)
    np.testing.assert_allclose(ciou, [1, 1 / 3 - 4 / 52, -100 / 212], atol=1e-5)


def test_ciou_minds_the_shape() -> None:
    wide, tall = tf.constant([[0.0, 0.0, 4.0, 2.0]]), tf.constant([[0.0, 0.0, 2.0, 4.0]])
    ciou, iou = _ciou(wide, tall)
    shape = 4 / np.pi**2 * (np.arctan(2) - np.arctan(0.5)) ** 2
    assert float(iou[0]) == pytest.approx(1 / 3)
    assert float(ciou[0]) == pytest.approx(1 / 3 - shape**2 / (1 - 1 / 3 + shape), abs=1e-5)


def test_a_perfect_head_has_hardly_any_loss_and_a_wrong_class_costs() -> None:
    narrow = replace(SMALL, anchors=((10.0, 10.0), (2.0, 60.0)))
    network = replace(NETWORK, layers=(narrow, LARGE))
    small = np.full((1, 12, 8, 2, 8), -12, np.float32)
    large = np.full((1, 6, 4, 2, 8), -12, np.float32)
    small[..., :4] = large[..., :4] = 0  # the middle of the cell, the anchor's own size
    small[0, 3, 2, 0, 4] = 12  # an object is there
    small[0, 3, 2, 0, 5 + 1] = 12  # of class 1

    def found(class_id: int) -> Losses:
        heads = [tf.reshape(small, [1, 12, 8, 16]), tf.reshape(large, [1, 6, 4, 16])]
        # The first anchor alone answers, in the middle of row 3, column 2.
        return losses(network, heads, truth((20, 28, 10, 10, class_id)))

    right, wrong = found(1), found(2)
    assert float(right.total) < 0.01
    assert float(wrong.classes) == pytest.approx(24, rel=1e-3)
    assert float(wrong.box) == float(right.box)


def test_without_objects_only_objectness_is_trained() -> None:
    heads = [tf.zeros([1, 12, 8, 16]), tf.zeros([1, 6, 4, 16])]
    found = losses(two_heads(), heads, truth())
    assert float(found.box) == float(found.classes) == 0
    assert float(found.objectness) == pytest.approx((12 * 8 + 6 * 4) * 2 * np.log(2), rel=1e-5)
