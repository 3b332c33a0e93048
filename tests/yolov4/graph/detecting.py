"""The graph's detections, and those of `numpy_oracle`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tests.support.oracles import numpy_oracle
from tests.support.oracles.numpy_oracle import Found
from yolov4.graph.detect import Detections, detections
from yolov4.network.heads import GaussianYolo, Head, Yolo
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
