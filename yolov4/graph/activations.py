"""Darknet's activations as TensorFlow operations.

Source: AlexeyAB/darknet, src/activations.h and src/activations.c.
"""

from typing import Any, TypeAlias

import tensorflow as tf

Tensor: TypeAlias = Any  # tensorflow ships no types


def _hard_mish(x: Tensor) -> Tensor:
    negative = tf.maximum(tf.minimum(x, 0.0), -2.0)
    return tf.maximum(x, 0.0) + negative * (0.5 * negative + 1.0)


# No Relu where two operations read x: if x is the sum of a convolution and another tensor,
# TensorFlow's remapper then fails, and nothing in the network is fused.
ACTIVATIONS = {
    "linear": lambda x: x,
    "leaky": lambda x: tf.nn.leaky_relu(x, alpha=0.1),
    # oneDNN's fusion recognizes exactly this product as Mish.
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "swish": lambda x: x * tf.sigmoid(x),
    "logistic": tf.sigmoid,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "hard_mish": _hard_mish,
    "elu": tf.nn.elu,
    # tf.nn.selu has more digits.
    "selu": lambda x: 1.0507 * (tf.maximum(x, 0.0) + 1.6732 * (tf.exp(tf.minimum(x, 0.0)) - 1.0)),
    "gelu": lambda x: 0.5 * x * (1.0 + tf.tanh(0.797885 * x + 0.035677 * x * x * x)),
    "tanh": tf.tanh,
    "ramp": lambda x: tf.maximum(x, 0.0) + 0.1 * x,
}


def after_sum(name: str, x: Tensor) -> Tensor:
    """The activation of a sum, written so that TensorFlow does not fuse the two wrongly.

    TensorFlow fuses Conv2D -> BiasAdd -> AddV2 -> activation into one oneDNN kernel. For LeakyRelu
    it ignores our slope and uses 0.2 (seen in 2.10.1 and 2.20.0), and it does not support Mish (an
    error in 2.20.0).
    """
    if name == "leaky":
        # Fused with its own slope (2.15.1, 2.20.0) or not at all (2.10.1).
        return tf.maximum(x, 0.1 * x)
    if name == "mish":
        # The quotient is 1 above 20 in float32, and above 5 in float16, in which exp(12) overflows.
        enough = 5.0 if x.dtype == tf.float16 else 20.0
        power = tf.exp(tf.minimum(x, enough))
        product = power * (power + 2.0)
        return x * (product / (product + 2.0))
    return ACTIVATIONS[name](x)
