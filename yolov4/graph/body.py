"""The network's body as TensorFlow operations.

Plain operations with constants, in NHWC, so that the same code works with TensorFlow 2.10 to 2.20
and TensorFlow fuses a convolution, its bias and its activation into one kernel (oneDNN's fusion
matches exactly Conv2D -> BiasAdd -> activation with a constant kernel).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.graph.activations import ACTIVATIONS, after_sum
from yolov4.graph.operations import fit_channels, group, join, pool, reorg, upsample
from yolov4.network.heads import Head
from yolov4.network.layers import (
    Contrastive,
    Convolutional,
    Dropout,
    GlobalAveragePool,
    Pool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)
from yolov4.network.network import Network, Shape, shapes
from yolov4.network.weights import ConvWeights

Tensor: TypeAlias = Any  # tensorflow ships no types


def body(
    network: Network,
    weights: Sequence[ConvWeights],
    image: Tensor,
    precision: str = "float32",
) -> list[Tensor]:
    """The network from pixels to heads, under the name scope `body`.

    image: float32 [N, height, width, channels], RGB or grey, 0..1, at the network's input size.
    `precision`: the TensorFlow dtype of the computation and of the stored weights.
    Returns one float32 [N, rows, columns, anchors x values] per head, in order: the input of the
    [yolo], [Gaussian_yolo] or [region] layer, before logistic and box decoding.
    """
    dtype = tf.as_dtype(precision)
    unused = iter(zip(weights, before_head(network), strict=True))

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        # The last convolutions, 1 % of the work, are float32: rounding a box's values to bfloat16
        # moves its sides (on COCO pictures, AP fell three times as much).
        numbers, last = next(unused)
        kind = tf.float32 if last else dtype
        numbers = ConvWeights(*(part.astype(kind.as_numpy_dtype) for part in numbers))
        return convolutional(layer, numbers, tf.cast(x, kind))

    with tf.name_scope("body"):
        x = tf.cast(image, dtype, "input")
        add = _sum_bf16 if dtype == tf.bfloat16 else tf.add
        return walk(network, x, convolve, add, after_sum)


def before_head(network: Network) -> list[bool]:
    """For each convolution: whether a head follows it."""
    pairs = zip(network.layers, (*network.layers[1:], None), strict=True)
    return [isinstance(after, Head) for layer, after in pairs if isinstance(layer, Convolutional)]


def walk(
    network: Network,
    x: Tensor,
    convolve: Callable[[Convolutional, Tensor], Tensor],
    add: Callable[[Tensor, Tensor], Tensor],
    after_sum: Callable[[str, Tensor], Tensor],
    upsample: Callable[[int, Shape, Tensor], Tensor] = upsample,
) -> list[Tensor]:
    """Build the network layer by layer from the picture to the heads, with the given operations.

    `convolve` builds a convolution with its bias or batch norm and its activation, `add` the sum of
    a shortcut, and `after_sum` the activation of that sum, or of a product, by name. `upsample`
    repeats each pixel, by a factor in an input of a given shape.
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
                        x = add(x, fit_channels(shape.channels, out[source]))
                    x = after_sum(activation, x)
                case Route(sources=sources, groups=groups, group_id=group_id):
                    x = join([group(groups, group_id, out[source]) for source in sources])
                case Pool():
                    before = network.layers[index - 1] if index else None
                    if isinstance(before, Route) and before.groups == 1:
                        # Joining the pooled parts copies less than pooling what was joined, which
                        # TensorFlow computes only if another layer reads it.
                        x = join([pool(layer, last, shape, out[i]) for i in before.sources])
                    else:
                        x = pool(layer, last, shape, x)
                case GlobalAveragePool():
                    x = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
                case ScaleChannels(source=source, activation=activation):
                    x = after_sum(activation, x * out[source])
                case Sam(source=source, activation=activation):
                    x = after_sum(activation, x * out[source])
                case Upsample(stride=stride):
                    x = upsample(stride, last, x)
                case Reorg():
                    x = reorg(layer, last, x)
                case Head():
                    heads.append(tf.identity(x, "head"))
                case Dropout() | Contrastive():
                    pass
        out.append(x)
        last = shape
    return heads


def padded(layer: Convolutional, x: Tensor) -> tuple[Tensor, str]:
    """The input of a convolution and its `padding`, which pads both sides equally, as Darknet does.

    With stride 1 SAME does the same; with stride 2 it would pad the far side only and shift the
    picture by a pixel.
    """
    if layer.stride == (1, 1) and 2 * layer.padding == layer.size - 1:
        return x, "SAME"
    if layer.padding:
        both = [layer.padding * layer.dilation] * 2
        x = tf.pad(x, [[0, 0], both, both, [0, 0]])
    return x, "VALID"


def convolutional(layer: Convolutional, weights: ConvWeights, x: Tensor) -> Tensor:
    """A convolution, its bias and its activation, in the dtype of x and the weights."""
    x, padding = padded(layer, x)

    def convolve(x: Tensor, kernel: Any) -> Tensor:
        kernel = tf.constant(kernel, name="kernel")
        return tf.nn.conv2d(x, kernel, layer.stride, padding, dilations=layer.dilation)

    # Conv2D supports groups, but on a CPU only if oneDNN is enabled.
    if layer.groups == 1:
        x = convolve(x, weights.kernel)
    elif layer.groups == x.shape[3] and layer.stride[0] == layer.stride[1] and layer.dilation == 1:
        kernel = weights.kernel.reshape(layer.size, layer.size, layer.groups, -1)
        x = tf.nn.depthwise_conv2d(
            x, tf.constant(kernel, name="kernel"), [1, *layer.stride, 1], padding
        )
    else:
        kernels = np.split(weights.kernel, layer.groups, axis=3)
        parts = zip(tf.split(x, layer.groups, axis=3), kernels, strict=True)
        x = tf.concat([convolve(x, kernel) for x, kernel in parts], axis=3)
    x = tf.nn.bias_add(x, tf.constant(weights.bias, name="bias"))
    return ACTIVATIONS[layer.activation](x)


def _sum_bf16(x: Tensor, y: Tensor) -> Tensor:
    # TensorFlow's bfloat16 addition does not use the CPU's instructions for it and takes twice as
    # long as oneDNN's multiplication by one with addition (measured at 304 x 304 x 64). TensorFlow
    # fuses the kernel only with a bias, and would remove a bias of zero.
    dtype = x.dtype.as_numpy_dtype
    one = np.eye(x.shape[3], dtype=np.float32)[np.newaxis, np.newaxis].astype(dtype)
    nothing = tf.constant(np.full(x.shape[3], 1e-30, dtype))
    return tf.nn.bias_add(tf.nn.conv2d(x, tf.constant(one), 1, "SAME"), nothing) + y
