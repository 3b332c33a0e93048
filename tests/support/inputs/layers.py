"""Networks of a layer or two, and what the graph makes of them."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from yolov4.graph.body import body
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Layer
from yolov4.network.network import Network, shapes
from yolov4.network.weights import ConvWeights

Array = npt.NDArray[np.float32]


def run(network: Network, weights: list[ConvWeights], image: Array) -> list[Array]:
    """The heads for image [N, height, width, channels], as a SavedModel computes them."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        shape = [None, network.height, network.width, network.channels]
        feed = v1.placeholder(tf.float32, shape)
        heads: list[Array] = session.run(body(network, weights, feed), {feed: image})
    return heads


def identity(channels: int) -> ConvWeights:
    """Of a 1x1 convolution that changes nothing."""
    kernel = np.eye(channels, dtype=np.float32)[np.newaxis, np.newaxis]
    return ConvWeights(kernel, np.zeros(channels, np.float32))


def output_of(layers: list[Layer], image: Array, weights: list[ConvWeights] | None = None) -> Array:
    """The output of the last of these layers for image [height, width, channels].

    A convolution and a head follow, of which neither changes anything.
    """
    height, width, channels = image.shape
    last = shapes(Network(width, height, channels, tuple(layers)))[-1].channels
    keep = Convolutional(max(last, 6), 1, batch_normalize=False, activation="linear")
    kernel = np.eye(last, max(last, 6), dtype=np.float32)[np.newaxis, np.newaxis]
    head = Yolo(((1.0, 1.0),), classes=max(last, 6) - 5)
    network = Network(width, height, channels, (*layers, keep, head))
    after = ConvWeights(kernel, np.zeros(max(last, 6), np.float32))
    (out,) = run(network, [*(weights or []), after], image[np.newaxis])
    return out[0, :, :, :last]
