"""A network with random weights, read and run here and by OpenCV's Darknet reader."""

import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.darknet.writer import write_weights
from yolov4.errors import ModelError
from yolov4.graph.body import body
from yolov4.graph.decode import decode
from yolov4.network.heads import Head
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network
from yolov4.network.weights import BATCH_NORM_EPSILON, conv_shapes
from yolov4.verify.random_weights import random_vector

Array: TypeAlias = npt.NDArray[Any]

OPENCV_EPSILON = 1e-6  # what OpenCV adds to a variance, where Darknet adds 1e-5


class Difference(NamedTuple):
    heads: float  # the largest, relative to the head's largest value
    boxes: float  # the largest of a corner, relative to the box, or to a pixel if it is smaller
    scores: float  # the largest


class UnreadableError(Exception):
    """OpenCV does not read the `.cfg`; its reason."""


def compare_with_opencv(cfg: Path, side: int) -> Difference:
    """side: input width in pixels; the height is three quarters of it; both in whole strides.

    Raises ModelError for a `.cfg` that is refused here, UnreadableError if OpenCV refuses it.
    """
    try:
        import cv2
    except ImportError as error:
        raise ModelError("this needs OpenCV: pip install opencv-python-headless") from error
    network = read_cfg(cfg)
    width, height = (max(1, round(s / network.stride)) for s in (side, 0.75 * side))
    network = network.resized(width * network.stride, height * network.stride)
    with tempfile.TemporaryDirectory() as folder:
        theirs_cfg, weights = Path(folder) / "net.cfg", Path(folder) / "net.weights"
        theirs_cfg.write_bytes(_with_size(cfg.read_bytes(), network))
        try:
            cv2.dnn.readNetFromDarknet(str(theirs_cfg))
        except cv2.error as error:
            raise UnreadableError(error.err) from error
        vector = random_vector(network)
        write_weights(weights, network, vector)
        arrays = read_weights(weights, network)
        # The same epsilon for both: what OpenCV adds less is in its file.
        _add_to_variances(network, vector, BATCH_NORM_EPSILON - OPENCV_EPSILON)
        write_weights(weights, network, vector)
        net = cv2.dnn.readNetFromDarknet(str(theirs_cfg), str(weights))

    shape = (1, network.height, network.width, network.channels)
    image = np.random.default_rng(1).random(shape, np.float32)
    net.enableWinograd(False)  # faster, but less exact
    net.setInput(image.transpose(0, 3, 1, 2).copy())
    names = _names(network)
    outputs = net.forward([name for pair in names for name in pair])
    found = _run(network, arrays, image)
    differences = [
        _difference(*ours, raw.transpose(0, 2, 3, 1)[0], rows.reshape(len(ours[1]), -1), network)
        for ours, raw, rows in zip(found, outputs[::2], outputs[1::2], strict=True)
    ]
    return Difference(*np.max(differences, axis=0).tolist())


def _with_size(content: bytes, network: Network) -> bytes:
    for key, value in (("width", network.width), ("height", network.height)):
        line = rf"(?m)^\s*{key}\s*=.*$".encode()
        content = re.sub(line, f"{key}={value}".encode(), content, count=1)
    return content


def _add_to_variances(network: Network, vector: Array, amount: float) -> None:
    start = 0
    for shape in conv_shapes(network):
        filters = shape.kernel[3]
        if shape.batch_normalize:
            vector[start + 3 * filters : start + 4 * filters] += np.float32(amount)
        start += shape.floats


def _names(network: Network) -> list[tuple[str, str]]:
    """OpenCV's names of each head's input and of the head."""
    names = []
    for index, layer in enumerate(network.layers):
        before = network.layers[index - 1]
        if isinstance(layer, Head):
            assert isinstance(before, Convolutional)
            linear = before.activation == "linear"
            # It counts an activation as the layer after its convolution.
            raw = f"conv_{index - 1}" if linear else f"{before.activation}_{index}"
            names.append((raw, "detection_out" if layer.section == "region" else f"yolo_{index}"))
    return names


def _run(network: Network, arrays: Any, image: Array) -> list[tuple[Array, Array, Array]]:
    """Each head's raw values, and the boxes and scores of all its rows."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        feed = v1.placeholder(tf.float32, image.shape)
        results = []
        for head, raw in zip(network.heads, body(network, arrays, feed), strict=True):
            rows, columns = int(raw.shape[1]), int(raw.shape[2])
            every = tf.range(rows * columns * len(head.anchors), dtype=tf.int64)
            flat = tf.reshape(raw, [-1, head.row])
            results.append((raw[0], *decode(network, head, (rows, columns), flat, every)))
        found: list[tuple[Array, Array, Array]] = session.run(results, {feed: image})
    return found


def _difference(
    raw: Array, boxes: Array, scores: Array, their_raw: Array, rows: Array, network: Network
) -> Difference:
    """rows: OpenCV's, x, y, width, height, objectness and scores, 0 below a threshold."""
    corners = np.concatenate(
        [rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1
    )
    pixel = 1.0 / np.array([network.width, network.height])
    size = np.tile(np.maximum(rows[:, 2:4], pixel), 2)
    there = rows[:, 5:] > 0
    return Difference(
        float(np.abs(raw - their_raw).max() / np.abs(their_raw).max()),
        float((np.abs(boxes - corners) / size).max()),
        float(np.abs(scores - rows[:, 5:])[there].max(initial=0.0)),
    )
