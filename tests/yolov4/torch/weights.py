"""Comparison of weights."""

import numpy as np

from yolov4.network.weights import ConvWeights


def assert_same(actual: list[ConvWeights], wanted: list[ConvWeights], rtol: float = 0.0) -> None:
    assert len(actual) == len(wanted)
    for ours, theirs in zip(actual, wanted, strict=True):
        assert ours.kernel.dtype == ours.bias.dtype == np.float32
        np.testing.assert_allclose(ours.kernel, theirs.kernel, rtol=rtol)
        np.testing.assert_allclose(ours.bias, theirs.bias, rtol=rtol, atol=10 * rtol)
