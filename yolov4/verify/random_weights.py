"""Random weights for any network, with which every layer still says something."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from yolov4.graph.activations import ACTIVATIONS
from yolov4.graph.body import Tensor, convolutional, walk
from yolov4.network.layers import Convolutional
from yolov4.network.network import Network
from yolov4.network.weights import BATCH_NORM_EPSILON, Array, ConvWeights, conv_shapes

HEAD_SPREAD = 2.0  # of raw scores, so that some are near 0 and others near 1


def random_vector(network: Network, seed: int = 0) -> Array:
    """float32 [count_floats(network)], in the order of a `.weights` file.

    The statistics of each batch normalization are roughly those of its input for a picture of
    noise, so that values neither vanish nor explode in a hundred layers. Most activations are in
    their nearly linear part, so that rounding is not amplified from layer to layer either.
    """
    rng = np.random.default_rng(seed)
    pieces: list[Array] = []
    convolutions = iter(conv_shapes(network))

    def convolve(layer: Convolutional, x: Tensor) -> Tensor:
        shape = next(convolutions)
        *window, filters = shape.kernel
        kernel = rng.normal(0.0, np.prod(window) ** -0.5, shape.kernel).astype(np.float32)
        center = 1.0 if layer.batch_normalize else 0.0
        bias = rng.normal(center, 0.5, filters).astype(np.float32)
        linear = replace(layer, activation="linear")
        y = convolutional(linear, ConvWeights(kernel, np.zeros(filters, np.float32)), x)
        mean, variance = (part.numpy() for part in tf.nn.moments(y, [0, 1, 2]))
        if layer.batch_normalize:
            gamma = rng.uniform(0.25, 0.75, filters).astype(np.float32)
            # Not exactly: a map of one pixel has no variance.
            mean, variance = 0.9 * mean, variance + 0.1 * mean**2 + 0.01
            y = (y - mean) * gamma / np.sqrt(variance + BATCH_NORM_EPSILON) + bias
            pieces.extend([bias, gamma, mean, variance])
        else:
            scale = HEAD_SPREAD * float(np.mean(variance + mean**2)) ** -0.5
            kernel, y = kernel * scale, y * scale + bias
            pieces.append(bias)
        pieces.append(kernel.transpose(3, 2, 0, 1))
        return ACTIVATIONS[layer.activation](y)

    picture = rng.random((1, network.height, network.width, network.channels), np.float32)
    walk(network, tf.constant(picture), convolve, tf.add, lambda name, x: ACTIVATIONS[name](x))
    return np.concatenate([piece.ravel() for piece in pieces]).astype(np.float32)
