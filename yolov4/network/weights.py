"""A network's numbers, wherever they come from: one kernel and one bias per convolution, in order.

Kernels are [height, width, channels in / groups, filters] and biases [filters], both float32, with
batch normalization already folded in. Readers of a particular file format end here.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yolov4.network.layers import Convolutional
from yolov4.network.network import Network, shapes

Array = npt.NDArray[np.float32]

# What Darknet adds to a variance at inference (fuse_conv_batchnorm in src/network.c; its own CPU
# and GPU kernels agree). OpenCV's reader adds 1e-6, which shows only where a variance is tiny.
BATCH_NORM_EPSILON = 1e-5


class ConvWeights(NamedTuple):
    kernel: Array
    bias: Array


class ConvShape(NamedTuple):
    """What a convolution needs: which layer it is, and the shape of its kernel."""

    layer: int
    kernel: tuple[int, int, int, int]  # height, width, channels in / groups, filters
    batch_normalize: bool

    @property
    def floats(self) -> int:
        """How many numbers it has before folding: the kernel, and a bias or four per filter."""
        height, width, channels, filters = self.kernel
        return height * width * channels * filters + filters * (4 if self.batch_normalize else 1)


def conv_shapes(network: Network) -> list[ConvShape]:
    """The convolutions of a network, in order."""
    found = []
    channels = network.channels
    for index, (layer, shape) in enumerate(zip(network.layers, shapes(network), strict=True)):
        if isinstance(layer, Convolutional):
            kernel = (layer.size, layer.size, channels // layer.groups, layer.filters)
            found.append(ConvShape(index, kernel, layer.batch_normalize))
        channels = shape.channels
    return found


def count_floats(network: Network) -> int:
    """How many float32 a network has before folding, as Darknet and PyTorch store it."""
    return sum(shape.floats for shape in conv_shapes(network))


def unusable_variance(variance: npt.NDArray[Any]) -> bool:
    """Whether a variance is too negative to be folded: it has no root with the epsilon added.

    Rounding leaves tiny negative ones, such as -7e-44 of a dead channel.
    """
    return bool((variance.astype(np.float64) + BATCH_NORM_EPSILON <= 0).any())


def fold_batch_norm(
    kernel: Array, beta: Array, gamma: Array, mean: Array, variance: Array
) -> ConvWeights:
    """The convolution that does what a convolution and its batch normalization do.

    kernel [height, width, channels, filters]; the rest [filters]. Computed in float64, as Darknet
    does, so that folding costs no more than the last rounding.
    """
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + BATCH_NORM_EPSILON)
    return ConvWeights(
        (kernel * scale).astype(np.float32), (beta - mean * scale).astype(np.float32)
    )
