"""Decoding and NMS against the loops of `numpy_oracle`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tests.support.oracles import numpy_oracle
from tests.support.oracles.numpy_oracle import Found
from yolov4.graph.decode import decode
from yolov4.graph.detect import Detections, detections
from yolov4.network.heads import GaussianYolo, Head, Region, Yolo
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network

Array = npt.NDArray[np.float32]

KINDS = {"default": None, "greedynms": 0.6, "diounms": 0.9}  # and the exponent


def network(
    *heads: Head, width: int = 96, height: int = 64, nms: str = "default", letter_box: bool = False
) -> Network:
    layers = [
        layer for head in heads for layer in (Convolutional(len(head.anchors) * head.row, 1), head)
    ]
    return Network(width, height, 3, tuple(layers), letter_box, KINDS[nms])


def oracle_decode(head: Head, raw: Array, size: tuple[int, int]) -> list[Found]:
    anchors = list(head.anchors)
    match head:
        case Yolo():
            return numpy_oracle.decode_yolo(
                raw, anchors, head.classes, size, head.scale_x_y, head.new_coords
            )
        case GaussianYolo():
            return numpy_oracle.decode_gaussian(
                raw, anchors, head.classes, size, head.scale_x_y, head.point
            )
    return numpy_oracle.decode_region(raw, anchors, head.classes)


def oracle(net: Network, heads: list[Array], picture: tuple[int, int]) -> list[Found]:
    """The detections of one picture, (width, height) pixels large."""
    size = net.width, net.height
    found = [
        one
        for head, raw in zip(net.heads, heads, strict=True)
        for one in oracle_decode(head, raw, size)
    ]
    if net.letter_box:
        found = numpy_oracle.correct_yolo_boxes(found, picture, size)
    kind = {beta: kind for kind, beta in KINDS.items()}[net.nms_beta]
    return numpy_oracle.pixels(numpy_oracle.nms(found, kind, beta=0.9), picture)


def graph(net: Network, heads: list[Array], sizes: list[tuple[int, int]]) -> Detections:
    """In a TensorFlow 1 graph, as the SavedModel is; sizes are (width, height) of each picture."""
    v1 = tf.compat.v1
    flipped = np.array(sizes, np.int32).reshape(-1, 2)[:, ::-1]
    with tf.Graph().as_default(), v1.Session() as session:
        feeds = [v1.placeholder(tf.float32, [None, *head.shape[1:]]) for head in heads]
        picture_sizes = v1.placeholder(tf.int32, [None, 2])
        outputs = detections(net, feeds, picture_sizes)
        result: Detections = session.run(
            outputs, dict(zip((*feeds, picture_sizes), (*heads, flipped), strict=True))
        )
        assert [part.shape for part in result] == [
            (len(sizes), *tensor.shape[1:]) for tensor in outputs
        ]
    return result


def ours(net: Network, heads: list[Array], sizes: list[tuple[int, int]]) -> list[list[Found]]:
    """What the graph finds; heads have a batch axis, sizes are (width, height) of each picture."""
    boxes_xyxy, scores, classes, counts = graph(net, heads, sizes)
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


def random_heads(
    net: Network, batch: int, bias: float, seed: int = 0, first_stride: int = 8
) -> list[Array]:
    """Heads at strides 8, 16, ... whose objectness and class logits lie around `bias`."""
    rng = np.random.default_rng(seed)
    heads = []
    for number, head in enumerate(net.heads):
        stride = first_stride << number
        grid = (batch, net.height // stride, net.width // stride)
        raw = rng.normal(0, 0.7, (*grid, len(head.anchors), head.row))
        if isinstance(head, Yolo) and head.new_coords:
            raw = 1 / (1 + np.exp(-raw))
            raw[..., 4:] *= np.exp(min(bias / 3, 0))
        else:
            raw[..., head.box_values :] += bias
        heads.append(raw.reshape(*grid, -1).astype(np.float32))
    return heads


SMALL_ANCHORS = ((10.0, 14.0), (23.0, 17.0), (17.0, 28.0))
LARGE_ANCHORS = ((41.0, 22.0), (60.0, 49.0))
LARGEST_ANCHORS = ((55.0, 40.0), (70.0, 60.0))


ALL_HEADS = [
    *(Yolo(SMALL_ANCHORS, 2, scale, new) for scale in (1.0, 1.2, 2.0) for new in (False, True)),
    *(
        GaussianYolo(SMALL_ANCHORS, 2, scale, point)
        for scale, point in ((1.0, "center"), (1.2, "left_top"), (1.1, "right_bottom"))
    ),
    Region(((0.6, 0.7), (1.9, 2.1), (3.3, 1.5)), 2),
]


@pytest.mark.parametrize("head", ALL_HEADS, ids=str)
@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 128)])
def test_decoding_is_darknets(width: int, height: int, head: Head) -> None:
    net = network(head, width=width, height=height)
    (raw,) = random_heads(net, batch=2, bias=0)
    grid = raw.shape[1:3]
    every = tf.range(np.prod(grid) * len(head.anchors))
    for picture in range(2):
        rows = tf.constant(raw[picture].reshape(-1, head.row))
        boxes_xyxy, scores = decode(net, head, grid, rows, every)
        found = oracle_decode(head, raw[picture], (width, height))
        wanted = numpy_oracle.pixels(found, (1, 1))
        np.testing.assert_allclose(boxes_xyxy, [w.box for w in wanted[::2]], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            scores, np.reshape([w.score for w in wanted], (-1, 2)), rtol=1e-5
        )


@pytest.mark.parametrize(
    ("nms", "letter_box"), [("default", False), ("greedynms", True), ("diounms", False)]
)
def test_detections_of_200_random_heads_are_the_oracles(nms: str, letter_box: bool) -> None:
    net = network(Yolo(LARGE_ANCHORS, 2), Yolo(LARGEST_ANCHORS, 2), nms=nms, letter_box=letter_box)
    heads = random_heads(net, batch=200, bias=-1, first_stride=16)
    rng = np.random.default_rng(1)
    sizes = [(int(w), int(h)) for w, h in rng.integers(30, 900, (200, 2))]
    suppressed = 0
    for picture, found in enumerate(ours(net, heads, sizes)):
        wanted = oracle(net, [head[picture] for head in heads], sizes[picture])
        assert_same(found, wanted)
        suppressed += 2 * (24 * 2 + 6 * 2) - len(wanted)
    assert suppressed > 200 * 20


@pytest.mark.parametrize("nms", ["greedynms", "diounms"])
@pytest.mark.parametrize(("window", "block", "best"), [(8, 4, 16), (4, 8, 50), (1024, 2, 4096)])
def test_diou_nms_does_not_depend_on_how_it_goes_through_the_candidates(
    monkeypatch: pytest.MonkeyPatch, nms: str, window: int, block: int, best: int
) -> None:
    net = network(Yolo(LARGE_ANCHORS, 3), Yolo(LARGEST_ANCHORS, 3), nms=nms)
    heads = random_heads(net, batch=3, bias=0.5, seed=3, first_stride=16)
    for name, value in (("WINDOW", window), ("BLOCK", block), ("BEST", best)):
        monkeypatch.setattr(f"yolov4.graph.nms.{name}", value)
    for picture, found in enumerate(ours(net, heads, [(640, 333)] * 3)):
        assert_same(found, oracle(net, [head[picture] for head in heads], (640, 333)))


@pytest.mark.parametrize("new_coords", [False, True])
@pytest.mark.parametrize(("bias", "few"), [(-4.5, True), (1.0, False)])
@pytest.mark.parametrize("classes", [1, 3])
def test_few_and_many_detections_are_the_oracles(
    bias: float, few: bool, classes: int, new_coords: bool
) -> None:
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
