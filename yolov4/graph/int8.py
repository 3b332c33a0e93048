"""The body in 8 bits, for networks of LeakyReLU on a CPU.

Maps are uint8. Code c stands for (c - ZERO) / (255 - ZERO), that is for LOWEST to 1, and the
weights are rescaled to fit that (`rescaled`). So every map has the same meaning, and slices,
concatenation, pools and upsampling are those of `graph.body`.

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
from tensorflow.python.framework import op_def_library, op_def_registry

from yolov4.errors import ModelError
from yolov4.graph.activations import after_sum
from yolov4.graph.body import before_head, convolutional, walk
from yolov4.network.heads import Head
from yolov4.network.layers import Contrastive, Convolutional, Dropout, MaxPool, Route, Upsample
from yolov4.network.network import Network
from yolov4.network.weights import Array, ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types

SLOPE = 0.1  # of LeakyReLU below 0
ZERO = 23  # the code of 0. LeakyReLU's output, LOWEST to 1, is then that of about -1 to 1
LOWEST = -ZERO / (255 - ZERO)
# What 1 stands for, as a share of the largest output seen: clipping the few above it makes all
# others finer. At 0.7 the heads of YOLOv4-tiny are closest to float32's; 0.6 and 0.8 are close.
CLIP = 0.7


def check(network: Network) -> None:
    """ModelError if the network has a layer that is not expressed in 8 bits here."""
    last = iter(before_head(network))
    for index, layer in enumerate(network.layers):
        kind = type(layer).__name__.lower()
        match layer:
            case Convolutional(activation=activation, groups=groups, dilation=dilation):
                if next(last) or (activation, groups, dilation) == ("leaky", 1, 1):
                    continue
                kind += f" with activation={activation} groups={groups} dilation={dilation}"
            case MaxPool() | Route() | Upsample() | Dropout() | Contrastive() | Head():
                continue
        raise ModelError(
            "--precision int8 is for LeakyReLU (activation=leaky) without shortcuts and groups, as "
            f"in YOLOv4-tiny: layer {index} is a {kind}"
        )


def rescaled(
    network: Network, weights: Sequence[ConvWeights], largest: Sequence[float]
) -> list[ConvWeights]:
    """Weights that leave the heads as they are, and with which maps end near 1.

    largest: the largest magnitude in the output of each convolution. A positive factor commutes
    with everything between two convolutions.
    """
    unused = iter(zip(weights, largest, before_head(network), strict=True))
    found: list[ConvWeights] = []
    units: list[Array] = []  # for each layer and channel, what 1 stands for
    unit = np.ones(network.channels, np.float32)
    for layer in network.layers:
        match layer:
            case Convolutional():
                (kernel, bias), most, last = next(unused)
                one = np.float32(1.0 if last else CLIP * most or 1.0)
                found.append(ConvWeights(kernel * unit[:, np.newaxis] / one, bias / one))
                unit = np.full(layer.filters, one)
            case Route(sources=sources, groups=groups, group_id=group_id):
                parts = [np.split(units[source], groups)[group_id] for source in sources]
                unit = np.concatenate(parts)
        units.append(unit)
    return found


def body(network: Network, weights: Sequence[ConvWeights], image: Tensor) -> list[Tensor]:
    """As `graph.body`. weights: as `rescaled` returns them."""
    unused = iter(zip(weights, before_head(network), strict=True))

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        numbers, last = next(unused)
        if x.dtype == tf.float32:  # no convolution so far
            x = convolutional(layer, numbers, x)
            return x if last else _quantized(x)
        if last:
            return convolutional(layer, numbers, _dequantized(x))
        if layer.size == 1 and layer.stride == (1, 1) and not layer.padding:
            kernel = numbers.kernel[0, 0]
            y = _product(tf.reshape(x, [-1, len(kernel)]), LOWEST, kernel, numbers.bias)
            return tf.reshape(y, [-1, *x.shape[1:3], layer.filters])
        y = _linear(layer, numbers, x)
        side = math.gcd(layer.filters, 64)
        one = np.eye(side, dtype=np.float32)
        x = _product(tf.reshape(y, [-1, side]), LOWEST / SLOPE, one, np.zeros(side, np.float32))
        return tf.reshape(x, [-1, *y.shape[1:]])

    with tf.name_scope("body"):
        return walk(network, image, convolve, tf.add, after_sum)


def _quantized(x: Tensor) -> Tensor:
    codes = tf.raw_ops.QuantizeV2(
        input=x, min_range=LOWEST, max_range=1.0, T=tf.quint8, mode="MIN_FIRST"
    )
    return tf.bitcast(codes.output, tf.uint8)


def _dequantized(x: Tensor) -> Tensor:
    codes = tf.bitcast(x, tf.quint8)
    return tf.raw_ops.Dequantize(input=codes, min_range=LOWEST, max_range=1.0, mode="MIN_FIRST")


def _linear(layer: Convolutional, numbers: ConvWeights, x: Tensor) -> Tensor:
    """A convolution and its bias: from a map to codes of LOWEST / SLOPE to 1."""
    kernel, most = _codes(numbers.kernel)
    # The kernel multiplies codes, and its output is not below 0: both are corrected in the bias.
    zeros = most / 127 * kernel.sum((0, 1, 2), np.float32) * LOWEST
    bias = (numbers.bias + zeros - LOWEST / SLOPE).astype(np.float32)
    both = [layer.padding] * 2
    x = tf.pad(x, [[0, 0], both, both, [0, 0]], constant_values=ZERO)
    return _fused(
        "_FusedQuantizedConv2D",
        [x, kernel, bias, 0.0, 1.0 - LOWEST, -most, most, 0.0, 1.0 - LOWEST / SLOPE],
        *("Tinput", "Tfilter", "out_type"),
        Tsummand=tf.quint8,
        strides=[1, *layer.stride, 1],
        padding="VALID",
        fused_ops=["BiasAdd", "Requantize"],
    )


def _product(x: Tensor, lowest: float, kernel: Array, bias: Array) -> Tensor:
    """The map LeakyReLU(x @ kernel + bias), [rows, filters]; x: codes of `lowest` to 1."""
    kernel, most = _codes(kernel)
    return _fused(
        "_QuantizedMatMul",
        [x, kernel, bias, lowest, 1.0, -most, most, LOWEST, 1.0],
        *("T1", "T2", "Tout"),
        fused_ops=["BiasAdd", "LeakyRelu", "Requantize"],
        leakyrelu_alpha=SLOPE,
        input_quant_mode="MIN_FIRST",
        output_quant_mode="MIN_FIRST",
    )


def _codes(kernel: Array) -> tuple[Any, Array]:
    """The kernel in 8 bits, and what 127 stands for in each of its filters."""
    most = np.maximum(np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1))), 1e-9)
    return np.round(kernel / most * 127).astype(np.int8), most


def _fused(op: str, inputs: Sequence[Any], *types: str, **attributes: Any) -> Tensor:
    """An operation for which TensorFlow has no Python function.

    types: its attributes for the types of a map, of the kernel, and of its output, a map too.
    """
    definition = op_def_registry.get(op)
    if definition is None:
        raise ModelError(f"--precision int8: TensorFlow {tf.__version__} has no {op}; 2.20 has")
    x, kernel, *numbers = inputs
    names = {attribute.name for attribute in definition.attr} - {"Tdevice_inputs", "Thost_inputs"}
    output = op_def_library.apply_op(
        op,
        name="int8",
        device_inputs=[],
        host_inputs=[tf.bitcast(x, tf.quint8), tf.constant(kernel, tf.qint8), *numbers],
        **{
            **dict.fromkeys(names),
            **dict(zip(types, (tf.quint8, tf.qint8, tf.quint8), strict=True)),
            **attributes,
            "Tbias": tf.float32,
            "Tdevice_outputs": [],
            "Thost_outputs": [tf.quint8, tf.float32, tf.float32],
        },
    )
    return tf.bitcast(tf.nest.flatten(output)[0], tf.uint8)
