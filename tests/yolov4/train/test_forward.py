"""The trainable network does what the served one does, and its gradients are right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.inputs.yolov4_models import write_model as write_random_model
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_vector, read_weights
from yolov4.darknet.writer import write_weights
from yolov4.errors import ModelError
from yolov4.graph.activations import ACTIVATIONS
from yolov4.graph.body import body
from yolov4.network.architecture import yolov4
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network
from yolov4.network.weights import count_floats
from yolov4.train.forward import TRAINABLE_ACTIVATIONS, forward, initial, parts
from yolov4.train.transfer import trainable


def test_what_is_learnt_is_what_is_served(tmp_path: Path) -> None:
    """With a batch's own statistics written to the file, `graph.body` gives the same heads."""
    cfg, weights, _ = write_random_model(tmp_path)
    network = read_cfg(cfg)
    vector = read_vector(weights, network)
    pictures = np.random.default_rng(0).random((64, 64, 96, 3), np.float32)
    heads, measured = forward(network, tf.constant(vector), tf.constant(pictures))
    statistic = parts(network).statistic
    assert not measured.numpy()[~statistic].any()
    write_weights(weights, network, np.where(statistic, measured, vector))
    served = body(network, read_weights(weights, network), tf.constant(pictures))
    assert len(heads) == len(served) == 2
    for learnt, expected in zip(heads, served, strict=True):
        # The running variance is the unbiased one, as Darknet's is.
        assert np.abs(learnt - expected).max() < 2e-3 * np.abs(expected).max()


def with_new_coords(network: Network, activation: str = "logistic") -> Network:
    """The network with the heads of Scaled-YOLOv4's `.cfg` files."""
    layers = list(network.layers)
    for i, layer in enumerate(layers):
        before = layers[i - 1]
        if isinstance(layer, Yolo) and isinstance(before, Convolutional):
            layers[i] = replace(layer, new_coords=True, scale_x_y=2.0)
            layers[i - 1] = replace(before, activation=activation)
    return replace(network, layers=tuple(layers))


def test_with_new_coords_the_logistic_is_left_to_the_loss(tmp_path: Path) -> None:
    cfg, weights, _ = write_random_model(tmp_path)
    plain = read_cfg(cfg)
    scaled = with_new_coords(plain)
    vector = tf.constant(read_vector(weights, plain))
    pictures = tf.constant(np.random.default_rng(0).random((2, 64, 96, 3), np.float32))
    for one, other in zip(
        forward(plain, vector, pictures)[0], forward(scaled, vector, pictures)[0], strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert trainable(scaled) == scaled
    with pytest.raises(ModelError, match=r"only where the convolution before .* activation=logi"):
        trainable(with_new_coords(plain, "linear"))


def test_mish_and_its_gradient() -> None:
    x = tf.constant(np.linspace(-30, 30, 121).reshape(11, 11), tf.float32)
    found: list[tf.Tensor] = []
    expected: list[tf.Tensor] = []
    for function, result in (
        (TRAINABLE_ACTIVATIONS["mish"], found),
        (ACTIVATIONS["mish"], expected),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x) * 2.0
        result += [y, tape.gradient(y, x)]
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def test_parts_of_the_vector() -> None:
    network = yolov4(64, 64, 3, 0.1)
    vector, which = initial(network, 0), parts(network)
    assert vector.shape == which.kernel.shape == which.statistic.shape == (count_floats(network),)
    assert not (which.kernel & which.statistic).any()
    assert set(np.unique(vector[which.statistic])) == {0.0, 1.0}
    assert (vector[which.kernel] != 0).all()
    first = 8 * 4 + 8 * 3 * 9  # beta, gamma, mean, variance, kernel of the first convolution
    assert which.kernel[:first].tolist() == [False] * 32 + [True] * 216
    assert which.statistic[:first].tolist() == [False] * 16 + [True] * 16 + [False] * 216


@pytest.mark.parametrize("seed", [0, 1])
def test_the_start_depends_on_the_seed_alone(seed: int) -> None:
    network = yolov4(64, 64, 3, 0.1)
    assert (initial(network, seed) == initial(network, seed)).all()
    assert (initial(network, seed) != initial(network, seed + 2)).any()


def test_what_a_deep_narrow_network_sees_reaches_its_heads() -> None:
    """A small difference of colour comes out small: from He's kernels alone, 0.5 to 0.8 of any."""
    network = yolov4(64, 64, 3, 0.1)
    rng = np.random.default_rng(1)
    colours = rng.uniform(0.1, 0.9, (24, 1, 1, 3))
    both = np.concatenate([colours, colours + 0.02 * rng.normal(size=colours.shape)])
    pictures = np.broadcast_to(both, (48, 64, 64, 3)).astype(np.float32)
    heads, _ = forward(network, tf.constant(initial(network, 0)), tf.constant(pictures))
    for head in heads:
        row, column = head.shape[1] // 2, head.shape[2] // 2
        before, after = np.split(np.asarray(head)[:, row, column], 2)
        apart = np.linalg.norm(before[:, None] - before, axis=-1).sum() / (24 * 23)
        assert np.linalg.norm(before - after, axis=1).mean() < 0.2 * apart
