"""The rules of decoding and NMS, each by a few boxes."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.support.oracles import numpy_oracle
from tests.support.oracles.numpy_oracle import Found
from tests.yolov4.graph.detecting import (
    KINDS,
    Array,
    assert_same,
    graph,
    network,
    oracle,
    ours,
)
from yolov4.graph.nms import diou
from yolov4.network.heads import Yolo


def head_of(boxes: list[tuple[int, int, float, float, float]], classes: int = 1) -> Array:
    """A 4 x 4 head of one 16 x 16 anchor; (row, column, width, height, score of class 0) each.

    The boxes sit in the middle of their cells of 16 pixels; all else scores nothing.
    """
    head = np.full((1, 4, 4, 5 + classes), -50, np.float32)
    head[..., :4] = 0
    for row, column, width, height, score in boxes:
        head[0, row, column, 2:4] = np.log([width / 16, height / 16])
        head[0, row, column, 4] = 50
        head[0, row, column, 5] = np.log(score / (1 - score))
    return head


SIZES = [(64, 64), (640, 32), (32, 640)]
ONE = network(Yolo(((16.0, 16.0),), 1), width=64, height=64)


def test_boxes_are_pixels_of_the_picture_whatever_the_input_size() -> None:
    (found,) = ours(ONE, [head_of([(1, 2, 8, 16, 0.7)])], [(640, 320)])
    assert_same(found, [Found(0.7, 0, (360, 80, 440, 160))])


def test_boxes_reach_beyond_the_picture_unclipped() -> None:
    (found,) = ours(ONE, [head_of([(0, 0, 32, 32, 0.7)])], [(64, 64)])
    assert_same(found, [Found(0.7, 0, (-8, -8, 24, 24))])


@pytest.mark.parametrize(("overlap", "kept"), [(0.44, 2), (0.46, 1)])
def test_a_box_is_suppressed_if_its_iou_with_a_better_one_exceeds_45_percent(
    overlap: float, kept: int
) -> None:
    # Two boxes of equal size, a cell of 16 pixels apart: IoU = (w - 16) / (w + 16).
    width = 16 * (1 + overlap) / (1 - overlap)
    head = head_of([(1, 1, width, 16, 0.6), (1, 2, width, 16, 0.8)])
    (found,) = ours(ONE, [head], [(64, 64)])
    assert [round(f.score, 3) for f in found] == [0.8, 0.6][:kept]
    assert numpy_oracle.box_iou((0, 0, width, 16), (16, 0, width, 16)) == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("beta", "overlap", "kept"),
    [(0.6, 0.5, 2), (0.6, 0.58, 2), (0.6, 0.62, 1), (1.0, 0.5, 2), (1.0, 0.52, 1), (0.2, 0.8, 2)],
)
def test_darknet_forgives_distant_centres(beta: float, overlap: float, kept: int) -> None:
    # As above; a cell apart, within a box of w + 16 by 16 pixels.
    width = 16 * (1 + overlap) / (1 - overlap)
    penalty = (16**2 / ((width + 16) ** 2 + 16**2)) ** beta
    assert (overlap - penalty > 0.45) == (kept == 1)
    head = head_of([(1, 1, width, 16, 0.6), (1, 2, width, 16, 0.8)])
    (found,) = ours(replace(ONE, nms_beta=beta), [head], [(64, 64)])
    assert [round(f.score, 3) for f in found] == [0.8, 0.6][:kept]


@pytest.mark.parametrize("beta", [0.2, 0.6, 1.0])
def test_diou_is_darknets_also_where_centres_or_all_corners_meet(beta: float) -> None:
    boxes = [
        *((0.5, 0.5, 0.5, 0.25), (0.5, 0.5, 0.25, 0.5), (0.75, 0.5, 0.5, 0.25)),
        *((0.125, 0.875, 0.25, 0.25), (0.5, 0.5, 0.0, 0.0), (0.5, 0.5, 1.0, 1.0)),
    ]
    corners = tf.constant([(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes])
    wanted = [[numpy_oracle.box_diounms(a, b, beta) for b in boxes] for a in boxes]
    np.testing.assert_allclose(diou(corners, corners, beta), wanted, rtol=1e-5, atol=1e-6)


def test_diou_is_of_fractions_not_of_pixels() -> None:
    """As in Darknet, which compares boxes before it scales them to the picture."""
    width = 16 * 1.63 / 0.37
    head = head_of([(1, 1, width, 16, 0.6), (1, 2, width, 16, 0.8)])
    counts = {len(ours(replace(ONE, nms_beta=0.6), [head], [size])[0]) for size in SIZES}
    assert counts == {1}


def test_a_box_that_is_gone_suppresses_nothing() -> None:
    # The second covers both its neighbours, but the first has already taken it away.
    head = head_of([(1, 0, 48, 16, 0.9), (1, 1, 48, 16, 0.8), (1, 2, 48, 16, 0.7)])
    (found,) = ours(ONE, [head], [(64, 64)])
    assert [round(f.score, 3) for f in found] == [0.9, 0.7]


def test_classes_do_not_suppress_one_another() -> None:
    net = network(Yolo(((16.0, 16.0),), 2), width=64, height=64)
    head = head_of([(1, 1, 16, 16, 0.6)], classes=2)
    head[0, 1, 1, 6] = head[0, 1, 1, 5]
    (found,) = ours(net, [head], [(64, 64)])
    assert sorted((f.class_id, round(f.score, 3)) for f in found) == [(0, 0.6), (1, 0.6)]


def test_of_equal_boxes_with_equal_scores_one_stays() -> None:
    net = network(Yolo(((16.0, 16.0), (16.0, 16.0)), 1), width=64, height=64)
    head = np.concatenate([head_of([(1, 1, 16, 16, 0.6), (3, 3, 16, 16, 0.6)])] * 2, axis=-1)
    (found,) = ours(net, [head], [(64, 64)])
    assert sorted(f.box for f in found) == [(16, 16, 32, 32), (48, 48, 64, 64)]


def test_of_boxes_apart_with_equal_scores_all_stay() -> None:
    head = head_of([(row, column, 8, 8, 0.5) for row in range(4) for column in range(4)])
    (found,) = ours(ONE, [head], [(64, 64)])
    corners = {(f.box[0], f.box[1]) for f in found}
    assert len(found) == 16
    assert corners == {(x, y) for x in (4, 20, 36, 52) for y in (4, 20, 36, 52)}


@pytest.mark.parametrize(("score", "kept"), [(0.00099, 0), (0.00101, 1)])
def test_the_score_floor_is_a_thousandth(score: float, kept: int) -> None:
    (found,) = ours(ONE, [head_of([(1, 1, 8, 8, score)])], [(64, 64)])
    assert len(found) == kept


def test_the_hundred_best_of_all_classes_are_kept() -> None:
    net = network(Yolo(((1.0, 1.0),), 9), width=64, height=64)  # 4 x 4 cells, no overlap
    rng = np.random.default_rng(0)
    head = np.zeros((1, 4, 4, 14), np.float32)
    head[..., 4] = 50
    head[..., 5:] = rng.permutation(np.linspace(-3, 3, 144)).reshape(1, 4, 4, 9)
    (found,) = ours(net, [head], [(64, 64)])
    best = np.sort(1 / (1 + np.exp(-np.linspace(-3, 3, 144))))[::-1][:100]
    np.testing.assert_allclose([f.score for f in found], best, rtol=1e-5)
    assert_same(found, oracle(net, [head[0]], (64, 64)))


def test_a_picture_without_a_candidate_has_none_beside_one_that_has() -> None:
    head = np.concatenate([head_of([]), head_of([(1, 1, 8, 8, 0.7)])])
    assert [len(found) for found in ours(ONE, [head], [(64, 64), (64, 64)])] == [0, 1]


@pytest.mark.parametrize("nms", KINDS)
def test_no_pictures_have_no_detections(nms: str) -> None:
    net = replace(ONE, nms_beta=KINDS[nms])
    result = graph(net, [np.zeros((0, 4, 4, 6), np.float32)], [])
    assert [part.shape for part in result] == [(0, 100, 4), (0, 100), (0, 100), (0,)]


@pytest.mark.parametrize("nms", KINDS)
def test_pictures_without_a_candidate_have_no_detections(nms: str) -> None:
    net = replace(ONE, nms_beta=KINDS[nms])
    assert ours(net, [head_of([])], [(64, 64)]) == [[]]
