"""AdamW and Muon against numpy, on the vector of a small network."""

import numpy as np
import pytest
import tensorflow as tf

from yolov4.network.architecture import yolov4_tiny
from yolov4.network.weights import conv_shapes, count_floats
from yolov4.train.forward import initial, parts
from yolov4.train.optimizer import Optimizer, orthogonalized

NETWORK = yolov4_tiny(64, 64, 2, 0.125)
SIZE = count_floats(NETWORK)


def adamw(vector: np.ndarray, gradients: list[np.ndarray], rate: float, decay: float) -> np.ndarray:
    """Algorithm 2 of arXiv:1711.05101, the decay of kernels alone."""
    first, second = np.zeros(SIZE), np.zeros(SIZE)
    kernel = parts(NETWORK).kernel
    for count, gradient in enumerate(gradients, start=1):
        gradient = gradient * min(1.0, 10.0 / np.linalg.norm(gradient))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        step = first / (1 - 0.9**count) / (np.sqrt(second / (1 - 0.999**count)) + 1e-8)
        vector = vector - rate * (step + decay * kernel * vector)
    return vector


def moved(muon: bool, gradients: list[np.ndarray]) -> np.ndarray:
    optimizer = Optimizer(NETWORK, decay=0.05, muon=muon)
    vector = tf.constant(initial(NETWORK, 0))
    for count, gradient in enumerate(gradients, start=1):
        arguments = tf.constant(gradient, tf.float32), tf.constant(0.01), tf.constant(float(count))
        vector = optimizer.move(vector, *arguments)
    return np.asarray(vector)


def gradients() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(0, scale, SIZE) for scale in (1e-3, 1.0, 1e-2)]


def test_adamw_is_the_papers() -> None:
    wanted = adamw(initial(NETWORK, 0).astype(float), gradients(), 0.01, 0.05)
    np.testing.assert_allclose(moved(False, gradients()), wanted, rtol=1e-4, atol=1e-6)


def test_muon_moves_the_kernels_before_batch_norm_and_nothing_else() -> None:
    with_muon, without = moved(True, gradients()), moved(False, gradients())
    start = 0
    for shape in conv_shapes(NETWORK):
        filters = shape.kernel[3]
        small = filters * (4 if shape.batch_normalize else 1)
        size = int(np.prod(shape.kernel))
        np.testing.assert_array_equal(
            with_muon[start : start + small], without[start : start + small]
        )
        kernel = slice(start + small, start + small + size)
        same = np.array_equal(with_muon[kernel], without[kernel])
        assert same is not shape.batch_normalize
        start = kernel.stop
    assert start == SIZE


def test_a_step_of_muon_is_orthogonal_and_scaled() -> None:
    before = initial(NETWORK, 0)
    after = moved(True, gradients()[:1])
    start = 0
    for shape in conv_shapes(NETWORK):
        filters = shape.kernel[3]
        size = int(np.prod(shape.kernel))
        start += filters * (4 if shape.batch_normalize else 1)
        if shape.batch_normalize:
            old = before[start : start + size]
            step = (old * (1 - 0.01 * 0.05) - after[start : start + size]) / 0.01
            length = size // filters
            values = np.linalg.svd(step.reshape(filters, length), compute_uv=False)
            values /= 0.2 * max(filters, length) ** 0.5
            assert values.min() > 0.6
            assert values.max() < 1.3
        start += size


@pytest.mark.parametrize("shape", [(8, 72), (48, 16), (24, 24)])
def test_orthogonalized_keeps_the_singular_vectors(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3, *shape)).astype(np.float32)
    found = orthogonalized(tf.constant(x)).numpy()
    for before, after in zip(x, found, strict=True):
        u, s, v = np.linalg.svd(before, full_matrices=False)
        inner = u.T @ after @ v.T
        diagonal = np.diag(inner)
        np.testing.assert_allclose(inner, np.diag(diagonal), atol=1e-3)
        # Values far below the largest are not yet brought up in five iterations.
        assert ((diagonal > 0.6) & (diagonal < 1.3))[s > 0.1 * s.max()].all()
