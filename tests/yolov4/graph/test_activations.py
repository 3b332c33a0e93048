"""Every activation against Darknet's formulas: alone, and after a sum, where TensorFlow fuses."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from tests.support.inputs.layers import identity, output_of
from tests.support.oracles.darknet_layers import activate
from yolov4.darknet.keys import ACTIVATIONS as KNOWN_TO_CFG
from yolov4.graph.activations import ACTIVATIONS
from yolov4.graph.body import body
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Layer, Shortcut
from yolov4.network.network import Network

LINEAR = Convolutional(8, 1, batch_normalize=False, activation="linear")
VALUES = np.linspace(-9, 9, 16 * 16 * 8, dtype=np.float32).reshape(16, 16, 8)


def test_every_activation_of_a_cfg_can_be_computed() -> None:
    assert set(ACTIVATIONS) == set(KNOWN_TO_CFG)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_convolutions_activation_is_darknets(name: str) -> None:
    layer = Convolutional(8, 1, batch_normalize=False, activation=name)
    wanted = np.vectorize(lambda x: activate(name, x), [np.float32])(VALUES)
    np.testing.assert_allclose(output_of([layer], VALUES, [identity(8)]), wanted, 2e-5, 2e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_sums_activation_is_darknets(name: str) -> None:
    layers: list[Layer] = [LINEAR, LINEAR, Shortcut((0,), name)]
    wanted = np.vectorize(lambda x: activate(name, x), [np.float32])(2 * VALUES)
    found = output_of(layers, VALUES, [identity(8), identity(8)])
    np.testing.assert_allclose(found, wanted, 2e-5, 4e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_sums_activation_leaves_every_convolution_fused(name: str) -> None:
    """A pattern that TensorFlow's remapper cannot rewrite ends all fusion in the network."""
    layers = (LINEAR, LINEAR, Shortcut((0,), name), LINEAR, LINEAR, Shortcut((2,), name), LINEAR)
    weights = [identity(8)._replace(bias=np.ones(8, np.float32))] * 5
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        feed = v1.placeholder(tf.float32, [None, 16, 16, 8])
        heads = body(Network(16, 16, 8, (*layers, Yolo(((1.0, 1.0),), 3))), weights, feed)
        options, metadata = v1.RunOptions(output_partition_graphs=True), v1.RunMetadata()
        session.run(heads, {feed: VALUES[np.newaxis]}, options, metadata)
    nodes = [node.op for graph in metadata.partition_graphs for node in graph.node]
    convolutions = [op for op in nodes if "Conv2D" in op]
    assert len(convolutions) == 5
    assert all("Fused" in op for op in convolutions)
