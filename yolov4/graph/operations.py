"""The layers without weights as TensorFlow operations, NHWC."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network.layers import MaxPool, Pool, Reorg
from yolov4.network.network import Shape

Tensor: TypeAlias = Any  # tensorflow ships no types


def pool(layer: Pool, before: Shape, after: Shape, x: Tensor) -> Tensor:
    """before, after: the sizes of x and of the result."""
    near = layer.padding // 2
    padding, same, inside = [[0, 0]], [], []
    for length, windows, stride in zip(before[:2], after[:2], layer.stride, strict=True):
        far = max(0, (windows - 1) * stride + layer.size - near - length)
        padding.append([near, far])
        same.append(windows == -(-length // stride) and near == (near + far) // 2)
        first = np.arange(windows) * stride - near
        inside.append(np.minimum(first + layer.size, length) - np.maximum(first, 0))
    # If SAME pads as Darknet does, it saves a copy. Otherwise pad with what does not count.
    if isinstance(layer, MaxPool):
        if all(same):
            return tf.nn.max_pool2d(x, layer.size, layer.stride, "SAME")
        x = tf.pad(x, [*padding, [0, 0]], constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, layer.size, layer.stride, "VALID")
    if all(same):
        return tf.nn.avg_pool2d(x, layer.size, layer.stride, "SAME")
    x = tf.nn.avg_pool2d(tf.pad(x, [*padding, [0, 0]]), layer.size, layer.stride, "VALID")
    share = layer.size**2 / np.outer(*inside)[np.newaxis, :, :, np.newaxis]
    return x * tf.constant(share.astype(x.dtype.as_numpy_dtype))


def upsample(stride: int, before: Shape, x: Tensor) -> Tensor:
    """Nearest neighbour.

    By Reshape and Tile: as fast on a CPU as ResizeNearestNeighbor (measured at 13, 19 and 38
    pixels, batch 1 and 8), which Inferentia's compiler does not support.
    """
    height, width, channels = before
    x = tf.reshape(x, [-1, height, 1, width, 1, channels])
    x = tf.tile(x, [1, 1, stride, 1, stride, 1])
    return tf.reshape(x, [-1, height * stride, width * stride, channels])


def reorg(layer: Reorg, before: Shape, x: Tensor) -> Tensor:
    """Space to depth; by Reshape and Transpose, which Inferentia's compiler supports."""
    height, width, channels = before
    s = layer.stride
    if not layer.interleaved:
        x = tf.reshape(x, [-1, height // s, s, width // s, s, channels])
        x = tf.transpose(x, [0, 1, 3, 2, 4, 5])
        return tf.reshape(x, [-1, height // s, width // s, channels * s * s])
    # Source: reorg_cpu in src/blas.c, which src/reorg_old_layer.c calls with the input's size where
    # it expects the output's.
    x = tf.transpose(x, [0, 3, 1, 2])
    x = tf.reshape(x, [-1, channels // (s * s), height, s, width, s])
    x = tf.transpose(x, [0, 3, 5, 1, 2, 4])
    x = tf.reshape(x, [-1, channels * s * s, height // s, width // s])
    return tf.transpose(x, [0, 2, 3, 1])


def join(parts: Sequence[Tensor]) -> Tensor:
    """The channels of one tensor after the other."""
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=3)


def group(groups: int, index: int, x: Tensor) -> Tensor:
    """One of equal groups of channels; by Slice, because Split would copy the others too."""
    if groups == 1:
        return x
    channels = x.shape[3] // groups
    return tf.slice(x, [0, 0, 0, index * channels], [-1, -1, -1, channels])


def fit_channels(wanted: int, x: Tensor) -> Tensor:
    """x with its first channels only, or with channels of zeros added."""
    missing = wanted - x.shape[3]
    if missing < 0:
        return x[..., :wanted]
    return tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, missing]]) if missing else x
