"""How large the numbers in a network become, found with pictures: what its int8 export needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from yolov4.errors import ModelError
from yolov4.export.saved_model import Body
from yolov4.graph import int8
from yolov4.graph.activations import after_sum
from yolov4.graph.body import convolutional, walk
from yolov4.graph.preprocess import preprocess
from yolov4.network.layers import Convolutional
from yolov4.network.model import Model
from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights

# A negative output is a tenth of the sum before LeakyReLU, and that must have a code too: at least
# a sixth of its range has codes. In YOLOv4-tiny's maps at least 0.29 have, without this.
NEGATIVE = 2.5

Tensor: TypeAlias = Any  # tensorflow ships no types


def int8_body(model: Model, pictures: Sequence[Path]) -> Body:
    """`graph.body` in 8 bits, for the largest numbers that occur on these pictures.

    ModelError for a network that cannot be in 8 bits, or a picture that cannot be read.
    """
    int8.check(model.network)
    weights = int8.rescaled(model.network, model.weights, largest_outputs(model, pictures))

    def body(network: Network, _: Sequence[ConvWeights], image: Tensor, __: str) -> list[Tensor]:
        return int8.body(network, weights, image)

    return body


def largest_outputs(model: Model, pictures: Sequence[Path]) -> list[float]:
    """How large the output of each convolution becomes; negative ones count NEGATIVE times.

    ModelError as `int8_body`.
    """

    def measure(encoded: Tensor) -> list[Tensor]:
        unused = iter(model.weights)
        outputs: list[Tensor] = []

        def convolve(layer: Convolutional, x: Tensor) -> Tensor:
            x = convolutional(layer, next(unused), x)
            outputs.append(tf.reduce_max(tf.maximum(x, -NEGATIVE * x)))
            return x

        pixels, _ = preprocess(model.network, encoded)
        walk(model.network, pixels, convolve, tf.add, after_sum)
        return outputs

    spec = [tf.TensorSpec([None], tf.string)]
    call = tf.function(measure, spec, autograph=False)
    found = []
    for path in pictures:
        try:
            found.append(call(tf.constant([path.read_bytes()])))
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror}") from error
        except tf.errors.InvalidArgumentError as error:
            raise ModelError(f"{path} is not a picture that can be decoded") from error
    largest = np.max(found, axis=0)
    if not np.isfinite(largest).all():
        raise ModelError(
            f"convolution {np.argmin(np.isfinite(largest))} gives numbers that are not finite on "
            "the calibration images: do --weights belong to --cfg?"
        )
    return [float(most) for most in largest]
