"""A model: a network, its weights and the names of its classes, together."""

from collections.abc import Sequence
from dataclasses import dataclass

from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights


@dataclass(frozen=True)
class Model:
    network: Network
    weights: Sequence[ConvWeights]  # one for each convolution, in order
    names: Sequence[str]  # of the classes, in order
