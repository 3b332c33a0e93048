"""Letterboxing against a port of Darknet's, and grey pictures. Stretching: see test_saved_model."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tests.support.inputs.layers import run
from tests.support.inputs.official import Official
from tests.support.oracles import numpy_oracle
from tests.support.oracles.darknet_image import letterbox_image
from tests.support.oracles.opencv_oracle import iou
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.graph.detect import detections
from yolov4.graph.preprocess import preprocess
from yolov4.network.heads import Yolo
from yolov4.network.network import Network

Array = npt.NDArray[np.float32]


def graph(network: Network, picture: bytes) -> tuple[Array, npt.NDArray[np.int32]]:
    """The input and the size of one picture, in a TensorFlow 1 graph, as the SavedModel is."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        feed = v1.placeholder(tf.string, [None])
        pixels, sizes = session.run(preprocess(network, feed), {feed: [picture]})
    return pixels[0], sizes[0]


def png(width: int, height: int) -> tuple[bytes, Array]:
    """A PNG and its pixels, RGB, 0..1."""
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    pixels = noise.astype(np.float32) / np.float32(255)
    return cv2.imencode(".png", noise[..., ::-1])[1].tobytes(), pixels


@pytest.mark.parametrize(
    ("width", "height"),
    [(96, 64), (300, 200), (301, 200), (64, 96), (40, 500), (500, 41), (31, 30), (1, 1), (7, 97)],
)
@pytest.mark.parametrize(("net_width", "net_height"), [(64, 64), (96, 64), (32, 96)])
def test_letterboxing_is_darknets(net_width: int, net_height: int, width: int, height: int) -> None:
    network = Network(net_width, net_height, 3, (), letter_box=True)
    data, picture = png(width, height)
    pixels, size = graph(network, data)
    assert size.tolist() == [height, width]
    wanted = letterbox_image(picture, net_width, net_height)
    np.testing.assert_allclose(pixels, wanted, atol=1e-4)  # positions are float32 in both


def test_a_picture_of_the_inputs_shape_is_letterboxed_without_borders() -> None:
    data, picture = png(96, 64)
    pixels, _ = graph(Network(96, 64, 3, (), letter_box=True), data)
    np.testing.assert_allclose(pixels, picture, atol=1e-6)


def test_a_picture_too_narrow_for_a_column_still_has_one() -> None:
    """Darknet computes a width of 0 and fails."""
    data, _ = png(1, 200)
    pixels, _ = graph(Network(32, 32, 3, (), letter_box=True), data)
    borders = np.delete(pixels, 15, axis=1)
    np.testing.assert_array_equal(borders, np.full((32, 31, 3), 0.5, np.float32))
    assert pixels[:, 15].std() > 0.1


@pytest.mark.parametrize("letter_box", [False, True])
def test_a_network_of_one_channel_gets_luminance(letter_box: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    picture = cv2.resize(noise, (96, 64), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    pixels, _ = graph(Network(96, 64, 1, (), letter_box), data)
    assert pixels.shape == (64, 96, 1)
    np.testing.assert_allclose(pixels[..., 0], grey / 255.0, atol=1e-6)


@pytest.mark.slow
def test_letterboxed_photographs_have_darknets_boxes(data: Path, official: Official) -> None:
    network = replace(read_cfg(official.cfg), letter_box=True)
    weights = read_weights(official.weights, network)
    size = network.width, network.height
    compared = 0
    for path in sorted((data / "photos").glob("*.jpg")):
        encoded = path.read_bytes()
        picture = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE").numpy()
        height, width = picture.shape[:2]
        theirs = letterbox_image(picture.astype(np.float32) / 255, *size)
        found = []
        for head, raw in zip(network.heads, run(network, weights, theirs[np.newaxis]), strict=True):
            assert isinstance(head, Yolo)
            found += numpy_oracle.decode_yolo(
                raw[0], list(head.anchors), head.classes, size, head.scale_x_y
            )
        found = [one for one in found if one.score >= 0.25]
        found = numpy_oracle.correct_yolo_boxes(found, (width, height), size)
        wanted = numpy_oracle.pixels(numpy_oracle.nms(found, "greedynms"), (width, height))

        pixels, picture_size = graph(network, encoded)
        heads = run(network, weights, pixels[np.newaxis])
        boxes, scores, classes, _ = detections(
            network, [tf.constant(head) for head in heads], tf.constant(picture_size[np.newaxis])
        )
        assert (scores.numpy() >= 0.25).sum() == len(wanted) > 0
        for i, one in enumerate(wanted):
            assert classes[0, i] == one.class_id
            assert float(scores[0, i]) == pytest.approx(one.score, abs=1e-3)
            assert iou(tuple(boxes[0, i].numpy().tolist()), one.box) >= 0.999
            compared += 1
    assert compared > 10
