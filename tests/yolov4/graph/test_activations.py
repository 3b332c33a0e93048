"""Every activation against Darknet's formulas: alone, and after a sum, where TensorFlow fuses."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.support.inputs.layers import identity, output_of
from tests.support.oracles.darknet_layers import activate
from yolov4.darknet.keys import ACTIVATIONS as KNOWN_TO_CFG
from yolov4.graph.activations import ACTIVATIONS
from yolov4.network.layers import Convolutional, Layer, Shortcut

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
    keep = Convolutional(8, 1, batch_normalize=False, activation="linear")
    layers: list[Layer] = [keep, keep, Shortcut((0,), name)]
    wanted = np.vectorize(lambda x: activate(name, x), [np.float32])(2 * VALUES)
    found = output_of(layers, VALUES, [identity(8), identity(8)])
    np.testing.assert_allclose(found, wanted, 2e-5, 4e-6)
