"""Layers and their arrays -> TensorFlow ops: the body of the network, and nothing else.

Plain ops with constants, in NHWC, so that one code serves TensorFlow 2.10 to 2.20 and a convolution
with its bias and activation is one kernel after TensorFlow's own rewriting (oneDNN's fusing looks
for exactly Conv2D -> BiasAdd -> activation with a constant kernel).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.network.layers import (
    Convolutional,
    Dropout,
    MaxPool,
    Network,
    Route,
    Shape,
    Shortcut,
    Upsample,
    Yolo,
    shapes,
)
from yolov4.network.weights import ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types

ACTIVATIONS = {
    "linear": lambda x: x,
    "leaky": lambda x: tf.nn.leaky_relu(x, alpha=0.1),
    # This very product is what the oneDNN rewriting knows as Mish.
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "swish": lambda x: x * tf.sigmoid(x),
    "logistic": tf.sigmoid,
    "relu": tf.nn.relu,
}


def body(
    network: Network,
    weights: Sequence[ConvWeights],
    image: Tensor,
    precision: str = "float32",
) -> list[Tensor]:
    """The network from pixels to heads, all of it under the one name scope `body`.

    image: float32 [N, height, width, 3], RGB, 0..1, at the network's input size. `precision`: the
    dtype that is calculated in and that weights are stored in, a name of TensorFlow's.
    Returns one float32 [N, rows, columns, anchors x (5 + classes)] per [yolo] layer, in order, as
    it is before [yolo]: no logistic, no boxes.
    """
    dtype = tf.as_dtype(precision)
    unused = iter(zip(weights, _before_yolo(network), strict=True))

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        # The last convolutions, a hundredth of the work, are float32: what a box's numbers lose by
        # rounding to bfloat16 moves its sides (on COCO pictures AP fell three times as much).
        numbers, last = next(unused)
        kind = tf.float32 if last else dtype
        numbers = ConvWeights(*(part.astype(kind.as_numpy_dtype) for part in numbers))
        return convolutional(layer, numbers, tf.cast(x, kind))

    with tf.name_scope("body"):
        x = tf.cast(image, dtype, "input")
        add = _sum_bf16 if dtype == tf.bfloat16 else tf.add
        return walk(network, x, convolve, add, _after_sum)


def _before_yolo(network: Network) -> list[bool]:
    """Of every convolution, whether a [yolo] layer follows it."""
    pairs = zip(network.layers, (*network.layers[1:], None), strict=True)
    return [isinstance(after, Yolo) for layer, after in pairs if isinstance(layer, Convolutional)]


def walk(
    network: Network,
    x: Tensor,
    convolve: Callable[[Convolutional, Tensor], Tensor],
    add: Callable[[Tensor, Tensor], Tensor],
    after_sum: Callable[[str, Tensor], Tensor],
) -> list[Tensor]:
    """Layer by layer from the picture to the heads, with whatever a convolution is made of.

    `convolve` makes a convolution with its bias or batch norm and its activation, `add` the
    sum of a shortcut and `after_sum` its activation, by name.
    """
    out: list[Tensor] = []
    heads: list[Tensor] = []
    last = Shape(network.height, network.width, network.channels)
    for index, (layer, shape) in enumerate(zip(network.layers, shapes(network), strict=True)):
        with tf.name_scope(f"{type(layer).__name__.lower()}_{index}"):
            match layer:
                case Convolutional():
                    x = convolve(layer, x)
                case Shortcut(sources=sources, activation=activation):
                    for source in sources:
                        x = add(x, _channels(shape.channels, out[source]))
                    x = after_sum(activation, x)
                case Route(sources=sources, groups=groups, group_id=group_id):
                    parts = [out[source] for source in sources]
                    if groups > 1:
                        parts = [tf.split(part, groups, axis=3)[group_id] for part in parts]
                    x = parts[0] if len(parts) == 1 else tf.concat(parts, axis=3)
                case MaxPool():
                    x = _max_pool(layer, last, shape, x)
                case Upsample(stride=stride):
                    x = _upsample(stride, last, x)
                case Yolo():
                    heads.append(tf.identity(x, "head"))
                case Dropout():
                    pass
        out.append(x)
        last = shape
    return heads


def padded(layer: Convolutional, x: Tensor) -> tuple[Tensor, str]:
    """The input of a convolution and its `padding`, together as Darknet pads: both sides alike.

    With stride 1 that is what SAME does; with stride 2 SAME would pad the far side only and shift
    the picture by a pixel.
    """
    if layer.stride == (1, 1) and 2 * layer.padding == layer.size - 1:
        return x, "SAME"
    if layer.padding:
        both = [layer.padding, layer.padding]
        x = tf.pad(x, [[0, 0], both, both, [0, 0]])
    return x, "VALID"


def convolutional(layer: Convolutional, weights: ConvWeights, x: Tensor) -> Tensor:
    """A convolution, its bias and its activation, all in the dtype that x and the weights have."""
    x, padding = padded(layer, x)
    # Conv2D can do groups by itself, but on a CPU only where oneDNN is switched on.
    if layer.groups == 1:
        x = tf.nn.conv2d(x, tf.constant(weights.kernel, name="kernel"), layer.stride, padding)
    elif layer.groups == x.shape[3] and layer.stride[0] == layer.stride[1]:
        kernel = weights.kernel.reshape(layer.size, layer.size, layer.groups, -1)
        x = tf.nn.depthwise_conv2d(
            x, tf.constant(kernel, name="kernel"), [1, *layer.stride, 1], padding
        )
    else:
        kernels = np.split(weights.kernel, layer.groups, axis=3)
        parts = zip(tf.split(x, layer.groups, axis=3), kernels, strict=True)
        x = tf.concat(
            [tf.nn.conv2d(x, tf.constant(k), layer.stride, padding) for x, k in parts], axis=3
        )
    x = tf.nn.bias_add(x, tf.constant(weights.bias, name="bias"))
    return ACTIVATIONS[layer.activation](x)


def _max_pool(layer: MaxPool, before: Shape, after: Shape, x: Tensor) -> Tensor:
    near = layer.padding // 2
    padding, same = [[0, 0]], []
    for length, windows, stride in zip(before[:2], after[:2], layer.stride, strict=True):
        far = max(0, (windows - 1) * stride + layer.size - near - length)
        padding.append([near, far])
        same.append(windows == -(-length // stride) and near == (near + far) // 2)
    # Where SAME pads as Darknet does it saves a copy. Otherwise the padding must never win.
    if all(same):
        return tf.nn.max_pool2d(x, layer.size, layer.stride, "SAME")
    x = tf.pad(x, [*padding, [0, 0]], constant_values=x.dtype.min)
    return tf.nn.max_pool2d(x, layer.size, layer.stride, "VALID")


def _sum_bf16(x: Tensor, y: Tensor) -> Tensor:
    # TensorFlow adds bfloat16 without the CPU's instructions for it, in twice the time that oneDNN
    # takes to multiply by one and add (measured at 304 x 304 x 64). The bias must be there for
    # TensorFlow to make one kernel of it, and not be zero, or it would be left out.
    dtype = x.dtype.as_numpy_dtype
    one = np.eye(x.shape[3], dtype=np.float32)[np.newaxis, np.newaxis].astype(dtype)
    nothing = tf.constant(np.full(x.shape[3], 1e-30, dtype))
    return tf.nn.bias_add(tf.nn.conv2d(x, tf.constant(one), 1, "SAME"), nothing) + y


def _after_sum(activation: str, x: Tensor) -> Tensor:
    # TensorFlow makes one oneDNN kernel of Conv2D -> BiasAdd -> AddV2 -> activation. For LeakyRelu
    # it forgets our slope and takes 0.2 (seen in 2.10.1 and 2.20.0), and Mish it has not got (an
    # error in 2.20.0). Written in other words, the two are not recognised.
    if activation == "leaky":
        return tf.nn.relu(x) - 0.1 * tf.nn.relu(-x)
    if activation == "mish":
        # From 20 on the quotient is 1 in float32; float16, 1 from 5 on, has no room for exp(12).
        enough = 5.0 if x.dtype == tf.float16 else 20.0
        power = tf.exp(tf.minimum(x, enough))
        product = power * (power + 2.0)
        return x * (product / (product + 2.0))
    return ACTIVATIONS[activation](x)


def _channels(wanted: int, x: Tensor) -> Tensor:
    missing = wanted - x.shape[3]
    if missing < 0:
        return x[..., :wanted]
    return tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, missing]]) if missing else x


def _upsample(stride: int, before: Shape, x: Tensor) -> Tensor:
    # Nearest neighbour by Reshape and Tile: as fast on a CPU as ResizeNearestNeighbor (measured at
    # 13, 19 and 38 pixels, batch 1 and 8), which Inferentia's compiler does not take.
    height, width, channels = before
    x = tf.reshape(x, [-1, height, 1, width, 1, channels])
    x = tf.tile(x, [1, 1, stride, 1, stride, 1])
    return tf.reshape(x, [-1, height * stride, width * stride, channels])
