"""Decoding and NMS against the loops of `numpy_oracle`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from tests.support.oracles import numpy_oracle
from tests.yolov4.graph.detecting import Array, assert_same, network, oracle, oracle_decode, ours
from yolov4.graph.decode import decode
from yolov4.network.heads import GaussianYolo, Head, Region, Yolo
from yolov4.network.network import Network


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
