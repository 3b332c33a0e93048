import numpy as np

from yolov4.network.layers import Convolutional, Route
from yolov4.network.network import Network
from yolov4.network.weights import conv_shapes, count_floats, fold_batch_norm

NETWORK = Network(
    64,
    32,
    3,
    (
        Convolutional(6, 3),
        Route((0,), groups=2),
        Convolutional(6, 5, groups=3, batch_normalize=False),
    ),
)


def test_a_kernel_has_the_channels_of_one_input_group() -> None:
    assert [(s.layer, s.kernel) for s in conv_shapes(NETWORK)] == [
        (0, (3, 3, 3, 6)),
        (2, (5, 5, 1, 6)),
    ]


def test_a_normalized_convolution_has_four_numbers_per_filter_besides_its_kernel() -> None:
    assert count_floats(NETWORK) == (3 * 3 * 3 * 6 + 4 * 6) + (5 * 5 * 1 * 6 + 6)


def test_folding_is_the_convolution_and_then_the_normalization() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(1, 1, 4, 3)).astype(np.float32)
    beta, gamma, mean = rng.normal(size=(3, 3)).astype(np.float32)
    variance = np.array([0.0, 1e-5, 2.0], np.float32)  # where Darknet's epsilon, 1e-5, counts
    x = rng.normal(size=(10, 4))
    convolved = x @ kernel[0, 0].astype(np.float64)
    wanted = (convolved - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    folded = fold_batch_norm(kernel, beta, gamma, mean, variance)

    assert folded.kernel.dtype == folded.bias.dtype == np.float32
    np.testing.assert_allclose(x @ folded.kernel[0, 0] + folded.bias, wanted, rtol=1e-5, atol=1e-4)
