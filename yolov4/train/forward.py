"""The trainable network: `graph.body` with variable weights.

All weights of a network are one vector, in the order of Darknet's `.weights` (for each convolution
beta, gamma, mean, variance and kernel, or bias and kernel). So the optimizer is a few operations on
vectors, a checkpoint is a few arrays, and the vector is written to the file as it is.
"""

from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.graph.activations import ACTIVATIONS
from yolov4.graph.body import Tensor, padded, walk
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Shortcut
from yolov4.network.network import Network
from yolov4.network.weights import BATCH_NORM_EPSILON, Array, ConvShape, conv_shapes

NOISE = 0.1  # of an initial kernel, relative to its orthogonal centre

Mask: TypeAlias = Any  # bool or float32 numpy array over the vector


class Parts(NamedTuple):
    """Boolean arrays of the vector's length that select some of its values."""

    kernel: Mask
    statistic: Mask  # running mean and variance: measured, not trained


def parts(network: Network) -> Parts:
    """Locate the kernels and the running statistics in the vector."""
    kernel, statistic = [], []
    for shape in conv_shapes(network):
        sizes = sizes_of(shape)
        piece = np.repeat(np.arange(len(sizes)), sizes)
        kernel.append(piece == len(sizes) - 1)
        statistic.append(np.isin(piece, (2, 3)) & shape.batch_normalize)
    return Parts(np.concatenate(kernel), np.concatenate(statistic))


def initial(network: Network, seed: int) -> Array:
    """Initial weights with which signals pass through a deep, narrow network.

    With He's normal kernels, a hundred narrow layers amplify a small difference in colour (2 %) as
    much as a large one, and no class was learned from 4,000 pictures. So kernels are orthogonal at
    their centre (Xiao et al., "Dynamical Isometry", arXiv:1806.05393) plus a little of He's noise,
    batch norms shift their output to where the activation is nearly linear, and residual branches
    start at zero (Goyal et al., arXiv:1706.02677, section 5.1). The heads expect few objects.
    """
    rng = np.random.default_rng(seed)
    pieces = []
    for shape in conv_shapes(network):
        height, width, channels, filters = shape.kernel
        he = (2 / (height * width * channels)) ** 0.5
        layer = network.layers[shape.layer + 1 : shape.layer + 2]
        if shape.batch_normalize:
            residual = bool(layer) and isinstance(layer[0], Shortcut)
            beta, gamma = (0.0, 0.0) if residual else (2.0, 0.5)
            pieces += [np.full(filters, beta), np.full(filters, gamma)]
            pieces += [np.zeros(filters), np.ones(filters)]
            kernel = rng.normal(0.0, he, (filters, channels, height, width))
            if shape.layer > 0:  # the first layer may detect edges from the start
                square = np.linalg.qr(rng.normal(size=[max(filters, channels)] * 2))[0]
                kernel *= NOISE
                kernel[:, :, height // 2, width // 2] += square[:filters, :channels]
        else:
            bias = np.zeros(filters)
            if layer and isinstance(layer[0], Yolo):
                # Nearly all boxes are empty (Lin et al., "Focal loss", section 4.1).
                bias.reshape(len(layer[0].anchors), -1)[:, 4] = -5.0
                bias.reshape(len(layer[0].anchors), -1)[:, 5:] = -2.0
            pieces.append(bias)
            kernel = rng.normal(0.0, 0.01, channels * filters * height * width)
        pieces.append(kernel.ravel())
    return np.concatenate(pieces).astype(np.float32)


def sizes_of(shape: ConvShape) -> list[int]:
    """Sizes of the pieces of a convolution, in the order of the vector."""
    filters = shape.kernel[3]
    return [filters] * (4 if shape.batch_normalize else 1) + [int(np.prod(shape.kernel))]


# Mish with one exponential, its value and gradient each compiled to one loop: as separate
# operations it took longer than all convolutions (memory traffic; on a CPU, 8 to 104 channels).
def _mish_value(x: Tensor) -> Tensor:
    e = tf.exp(tf.minimum(x, 15.0))  # the ratio is 1 in float32 above it
    n = e * (e + 2.0)
    return x * (n / (n + 2.0))


def _mish_gradient(x: Tensor, upstream: Tensor) -> Tensor:
    e = tf.exp(tf.minimum(x, 15.0))
    n = e * (e + 2.0)
    r = 1.0 / (n + 2.0)
    return upstream * (n * r + 4.0 * x * e * (e + 1.0) * r * r)


_mish_value_compiled = tf.function(_mish_value, jit_compile=True, autograph=False)
_mish_gradient_compiled = tf.function(_mish_gradient, jit_compile=True, autograph=False)


def _mish(x: Tensor) -> tuple[Tensor, Any]:
    shape = tf.shape(x)
    flat = tf.reshape(x, [-1])  # so that fewer shapes are compiled

    def gradient(upstream: Tensor) -> Tensor:
        return tf.reshape(_mish_gradient_compiled(flat, tf.reshape(upstream, [-1])), shape)

    return tf.reshape(_mish_value_compiled(flat), shape), gradient


TRAINABLE_ACTIVATIONS = {**ACTIVATIONS, "mish": tf.custom_gradient(_mish)}


def forward(
    network: Network, vector: Tensor, image: Tensor, training: bool = True
) -> tuple[list[Tensor], Tensor]:
    """The network from pixels to heads, normalizing by the batch's own mean and variance.

    With `training` False it normalizes by the vector's, and the heads are those of `graph.body`.

    vector: float32 [count_floats(network)]. image: float32 [N, height, width, 3], RGB, 0..1.
    Returns the heads as `graph.body` does, but before the logistic also where it is the activation
    of the last convolution (new_coords): there, a saturated value would have no gradient. Returns
    also a vector of the same length with this batch's mean and variance at the positions
    `parts(network).statistic`, and zeros elsewhere.
    """
    convs = iter(conv_shapes(network))
    pieces = iter(tf.split(vector, [n for conv in conv_shapes(network) for n in sizes_of(conv)]))
    measured: list[Tensor] = []

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        conv = next(convs)
        if training and _is_logistic_head(network, conv.layer):
            layer = replace(layer, activation="linear")
        x, statistics = _convolutional(
            layer, conv, [next(pieces) for _ in sizes_of(conv)], x, training
        )
        measured.append(statistics)
        return x

    heads = walk(
        *(network, image, convolve, tf.add), lambda name, x: TRAINABLE_ACTIVATIONS[name](x)
    )
    return heads, tf.concat(measured, axis=0)


def _is_logistic_head(network: Network, layer: int) -> bool:
    """Whether this convolution contains the logistic of the [yolo] with new_coords after it."""
    head = network.layers[layer + 1] if layer + 1 < len(network.layers) else None
    return isinstance(head, Yolo) and head.new_coords


def _convolutional(
    layer: Convolutional, conv: ConvShape, pieces: list[Tensor], x: Tensor, training: bool
) -> tuple[Tensor, Tensor]:
    """The layer's output, and this batch's statistics in the layer's piece of the vector."""
    *small, kernel = pieces
    height, width, channels, filters = conv.kernel
    kernel = tf.reshape(kernel, [filters, channels, height, width])
    kernel = tf.transpose(kernel, [2, 3, 1, 0])
    x, padding = padded(layer, x)
    parts = zip(
        tf.split(x, layer.groups, axis=3), tf.split(kernel, layer.groups, axis=3), strict=True
    )
    groups = [
        tf.nn.conv2d(part, k, layer.stride, padding, dilations=layer.dilation) for part, k in parts
    ]
    x = groups[0] if layer.groups == 1 else tf.concat(groups, axis=3)
    if conv.batch_normalize:
        beta, gamma, *running = small
        x, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            *(x, gamma, beta, *([None, None] if training else running)),
            epsilon=BATCH_NORM_EPSILON,
            is_training=training,
        )
        statistics = [tf.zeros(2 * filters), mean, variance, tf.zeros(tf.size(kernel))]
    else:
        x = tf.nn.bias_add(x, small[0])
        statistics = [tf.zeros(filters + tf.size(kernel))]
    return TRAINABLE_ACTIVATIONS[layer.activation](x), tf.concat(statistics, axis=0)
