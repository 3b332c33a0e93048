"""Decoding and NMS against the loops of `numpy_oracle`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tests.support.oracles import numpy_oracle
from tests.support.oracles.numpy_oracle import Found, greedy_nms, iou
from yolov4.graph.decode import decode
from yolov4.graph.detect import detections
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network

Array = npt.NDArray[np.float32]


def network(*heads: Yolo, width: int = 96, height: int = 64) -> Network:
    layers = [
        layer
        for head in heads
        for layer in (Convolutional(len(head.anchors) * (5 + head.classes), 1), head)
    ]
    return Network(width, height, 3, tuple(layers))


def oracle(net: Network, heads: list[Array], picture: tuple[int, int]) -> list[Found]:
    """The detections of one picture, (width, height) pixels large."""
    found = []
    for yolo, head in zip(net.heads, heads, strict=True):
        assert isinstance(yolo, Yolo)
        found += numpy_oracle.decode(
            head,
            list(yolo.anchors),
            yolo.classes,
            (net.width, net.height),
            picture,
            yolo.scale_x_y,
            yolo.new_coords,
        )
    return greedy_nms(found)


def ours(net: Network, heads: list[Array], sizes: list[tuple[int, int]]) -> list[list[Found]]:
    """What the graph finds; heads have a batch axis, sizes are (width, height) of each picture."""
    flipped = tf.constant([(height, width) for width, height in sizes], tf.int32)
    result = detections(net, [tf.constant(head) for head in heads], flipped)
    boxes_xyxy, scores, classes, counts = (part.numpy() for part in result)
    assert boxes_xyxy.shape == (len(sizes), 100, 4)
    assert (boxes_xyxy.dtype, scores.dtype) == (np.float32, np.float32)
    assert (classes.dtype, counts.dtype) == (np.int32, np.int32)
    batch = []
    for picture, count in enumerate(counts):
        assert not boxes_xyxy[picture, count:].any()
        assert not scores[picture, count:].any()
        assert not classes[picture, count:].any()
        assert (np.diff(scores[picture, :count]) <= 0).all()
        batch.append(
            [
                Found(
                    float(scores[picture, i]),
                    int(classes[picture, i]),
                    tuple(boxes_xyxy[picture, i].tolist()),
                )
                for i in range(count)
            ]
        )
    return batch


def assert_same(found: list[Found], wanted: list[Found]) -> None:
    assert len(found) == len(wanted)
    assert [f.class_id for f in found] == [w.class_id for w in wanted]
    np.testing.assert_allclose([f.score for f in found], [w.score for w in wanted], rtol=1e-4)
    np.testing.assert_allclose(
        [f.box for f in found], [w.box for w in wanted], rtol=1e-4, atol=1e-2
    )


def random_heads(net: Network, batch: int, bias: float, seed: int = 0) -> list[Array]:
    """Heads at strides 8, 16, ... whose objectness and class logits lie around `bias`."""
    rng = np.random.default_rng(seed)
    heads = []
    for number, yolo in enumerate(net.heads):
        assert isinstance(yolo, Yolo)
        stride = 8 << number
        grid = (batch, net.height // stride, net.width // stride)
        head = rng.normal(0, 0.7, (*grid, len(yolo.anchors), 5 + yolo.classes))
        if yolo.new_coords:
            head = 1 / (1 + np.exp(-head))
            head[..., 4:] *= np.exp(min(bias / 3, 0))
        else:
            head[..., 4:] += bias
        heads.append(head.reshape(*grid, -1).astype(np.float32))
    return heads


SMALL_ANCHORS = ((10.0, 14.0), (23.0, 17.0), (17.0, 28.0))
LARGE_ANCHORS = ((41.0, 22.0), (60.0, 49.0))


@pytest.mark.parametrize("new_coords", [False, True])
@pytest.mark.parametrize("scale_x_y", [1.0, 1.2, 2.0])
@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 128)])
def test_decoding_is_darknets(width: int, height: int, scale_x_y: float, new_coords: bool) -> None:
    net = network(Yolo(SMALL_ANCHORS, 2, scale_x_y, new_coords), width=width, height=height)
    (head,) = random_heads(net, batch=2, bias=0)
    grid = head.shape[1:3]
    every = tf.range(np.prod(grid) * len(SMALL_ANCHORS))
    for picture in range(2):
        raw = tf.constant(head[picture].reshape(-1, 7))
        boxes_xyxy, scores = decode(net, net.heads[0], grid, raw, every)
        wanted = numpy_oracle.decode(
            head[picture], list(SMALL_ANCHORS), 2, (width, height), (1, 1), scale_x_y, new_coords
        )
        np.testing.assert_allclose(boxes_xyxy, [w.box for w in wanted[::2]], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            scores, np.reshape([w.score for w in wanted], (-1, 2)), rtol=1e-5
        )


@pytest.mark.parametrize("new_coords", [False, True])
@pytest.mark.parametrize(("bias", "few"), [(-4.5, True), (1.0, False)])
@pytest.mark.parametrize("classes", [1, 3])
def test_detections_are_the_oracles(bias: float, few: bool, classes: int, new_coords: bool) -> None:
    """From a handful of boxes to far more than a hundred; two heads, two pictures, not square."""
    net = network(
        Yolo(SMALL_ANCHORS, classes, 1.2, new_coords),
        Yolo(LARGE_ANCHORS, classes, 1.05, new_coords),
    )
    heads = random_heads(net, batch=2, bias=bias)
    sizes = [(640, 333), (50, 800)]
    for picture, found in enumerate(ours(net, heads, sizes)):
        wanted = oracle(net, [head[picture] for head in heads], sizes[picture])
        assert 0 < len(wanted) <= 100
        if not few and classes > 1:
            assert len(wanted) == 100
        assert_same(found, wanted)


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
    assert iou((0, 0, width, 16), (16, 0, 16 + width, 16)) == pytest.approx(overlap)


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


def test_no_pictures_have_no_detections() -> None:
    empty = np.zeros((0, 4, 4, 6), np.float32)
    result = detections(ONE, [tf.constant(empty)], tf.zeros([0, 2], tf.int32))
    assert [part.shape.as_list() for part in result] == [[0, 100, 4], [0, 100], [0, 100], [0]]
