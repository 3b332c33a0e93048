"""The body in 8 bits, for networks of LeakyReLU on a CPU.

The weights are rescaled so that all maps can be in the same 8-bit codes (`graph.quantized`). So
slices, concatenation, pools and upsampling are those of `graph.body`.

TensorFlow 2.20 fuses LeakyReLU into products of 8-bit matrices, but not into 8-bit convolutions. A
1 x 1 convolution is such a product. After any other stands a product with an identity matrix, a
third of the time of Dequantize, LeakyRelu and QuantizeV2. The first convolution, whose work is
small and whose rounding would cost most, and the last ones (see `graph.body`) are float32.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.graph.activations import after_sum
from yolov4.graph.body import before_head, convolutional, walk
from yolov4.graph.quantized import (
    LOWEST,
    SLOPE,
    conv2d,
    dequantized,
    matmul,
    quantized,
    require_operations,
)
from yolov4.network.heads import Head
from yolov4.network.layers import Contrastive, Convolutional, Dropout, MaxPool, Route, Upsample
from yolov4.network.network import Network
from yolov4.network.weights import Array, ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types

# What 1 stands for, as a share of the largest output seen: clipping the few above it makes all
# others finer. At 0.7 the heads of YOLOv4-tiny are closest to float32's; 0.6 and 0.8 are close.
CLIP = 0.7


def check(network: Network) -> None:
    """ModelError if TensorFlow has no 8-bit operations, or the network other layers than those
    expressed in 8 bits here."""
    require_operations()
    last = iter(before_head(network))
    in_8_bits: list[bool] = []
    for index, layer in enumerate(network.layers):
        now = bool(in_8_bits) and in_8_bits[-1]
        match layer:
            case Convolutional(groups=1, activation=activation, dilation=dilation):
                now = not next(last)
                fits = not now or (activation, dilation) == ("leaky", 1)
            case Route(sources=sources):
                now = in_8_bits[sources[0]]
                fits = all(in_8_bits[source] == now for source in sources)
            case Head():
                fits = isinstance(network.layers[index - 1], Convolutional)
            case MaxPool() | Upsample() | Dropout() | Contrastive():
                fits = True
            case _:
                fits = False
        if not fits:
            raise ModelError(
                "--precision int8 is for networks like YOLOv4-tiny: convolutions without groups "
                "and with activation=leaky, [maxpool], [route], [upsample], and [yolo] after a "
                f"convolution. Layer {index} is another: {layer}"
            )
        in_8_bits.append(now)


def rescaled(
    network: Network, weights: Sequence[ConvWeights], largest: Sequence[float]
) -> list[ConvWeights]:
    """Weights that leave the heads as they are, and with which maps end near 1.

    largest: how large the output of each convolution becomes. A positive factor commutes
    with everything between two convolutions.
    """
    unused = iter(zip(weights, largest, before_head(network), strict=True))
    found: list[ConvWeights] = []
    scales: list[Array] = []  # for each layer and channel, what 1 stands for
    scale = np.ones(network.channels, np.float32)
    for layer in network.layers:
        match layer:
            case Convolutional():
                (kernel, bias), most, last = next(unused)
                one = np.float32(1.0 if last else CLIP * most or 1.0)
                found.append(ConvWeights(kernel * scale[:, np.newaxis] / one, bias / one))
                scale = np.full(layer.filters, one)
            case Route(sources=sources, groups=groups, group_id=group_id):
                parts = [np.split(scales[source], groups)[group_id] for source in sources]
                scale = np.concatenate(parts)
        scales.append(scale)
    return found


def body(network: Network, weights: Sequence[ConvWeights], image: Tensor) -> list[Tensor]:
    """As `graph.body`. weights: as `rescaled` returns them."""
    unused = iter(zip(weights, before_head(network), strict=True))

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        numbers, last = next(unused)
        if x.dtype == tf.float32:  # the picture, or the output of a last convolution
            x = convolutional(layer, numbers, x)
            return x if last else quantized(x)
        if last:
            return convolutional(layer, numbers, dequantized(x))
        if layer.size == 1 and layer.stride == (1, 1) and not layer.padding:
            kernel = numbers.kernel[0, 0]
            y = matmul(tf.reshape(x, [-1, len(kernel)]), LOWEST, kernel, numbers.bias)
            return tf.reshape(y, [-1, *x.shape[1:3], layer.filters])
        y = conv2d(layer, numbers, x)
        side = math.gcd(layer.filters, 64)
        side = side if side >= 16 else layer.filters  # smaller products take longer
        one = np.eye(side, dtype=np.float32)
        x = matmul(tf.reshape(y, [-1, side]), LOWEST / SLOPE, one, np.zeros(side, np.float32))
        return tf.reshape(x, [-1, *y.shape[1:]])

    with tf.name_scope("body"):
        return walk(network, image, convolve, tf.add, after_sum)
