"""Maps in 8 bits, and the operations that TensorFlow has for them.

A map is uint8. Code c stands for (c - ZERO_POINT) / (255 - ZERO_POINT), that is for LOWEST to 1.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_def_library, op_def_registry

from yolov4.errors import ModelError
from yolov4.network.layers import Convolutional
from yolov4.network.weights import Array, ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types

CONV2D, MATMUL = "_FusedQuantizedConv2D", "_QuantizedMatMul"
SLOPE = 0.1  # of LeakyReLU below 0
ZERO_POINT = 23  # the code of 0. LeakyReLU's output, LOWEST to 1, is then that of about -1 to 1
LOWEST = -ZERO_POINT / (255 - ZERO_POINT)


def require_operations() -> None:
    """ModelError if TensorFlow does not have them."""
    missing = [op for op in (CONV2D, MATMUL) if op_def_registry.get(op) is None]
    if missing:
        raise ModelError(
            f"--precision int8 needs TensorFlow 2.20 on x86-64 Linux: {tf.__version__} has no "
            f"{' and no '.join(missing)}"
        )


def quantized(x: Tensor) -> Tensor:
    codes = tf.raw_ops.QuantizeV2(
        input=x, min_range=LOWEST, max_range=1.0, T=tf.quint8, mode="MIN_FIRST"
    )
    return tf.bitcast(codes.output, tf.uint8)


def dequantized(x: Tensor) -> Tensor:
    codes = tf.bitcast(x, tf.quint8)
    return tf.raw_ops.Dequantize(input=codes, min_range=LOWEST, max_range=1.0, mode="MIN_FIRST")


def conv2d(layer: Convolutional, numbers: ConvWeights, x: Tensor) -> Tensor:
    """A convolution and its bias: from a map to codes of LOWEST / SLOPE to 1."""
    kernel, most = _codes(numbers.kernel)
    # The kernel multiplies codes, and its output is not below 0: both are corrected in the bias.
    zeros = most / 127 * kernel.sum((0, 1, 2), np.float32) * LOWEST
    bias = (numbers.bias + zeros - LOWEST / SLOPE).astype(np.float32)
    both = [layer.padding] * 2
    x = tf.pad(x, [[0, 0], both, both, [0, 0]], constant_values=ZERO_POINT)
    return _fused(
        CONV2D,
        [x, kernel, bias, 0.0, 1.0 - LOWEST, -most, most, 0.0, 1.0 - LOWEST / SLOPE],
        *("Tinput", "Tfilter", "out_type"),
        Tsummand=tf.quint8,
        strides=[1, *layer.stride, 1],
        padding="VALID",
        fused_ops=["BiasAdd", "Requantize"],
    )


def matmul(x: Tensor, lowest: float, kernel: Array, bias: Array) -> Tensor:
    """The map LeakyReLU(x @ kernel + bias), [rows, filters]; x: codes of `lowest` to 1."""
    kernel, most = _codes(kernel)
    return _fused(
        MATMUL,
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
