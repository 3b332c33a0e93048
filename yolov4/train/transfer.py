"""Where training starts: given weights, kept wherever the wanted classes allow it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolov4.darknet.reader import read_weights
from yolov4.network.layers import Convolutional, Layer, Network, Yolo
from yolov4.network.weights import Array, conv_shapes, count_floats
from yolov4.train.forward import initial, sizes_of


def read_vector(path: Path, network: Network) -> Array:
    """All numbers of a `.weights`, batch normalization not folded in. ModelError as there."""
    read_weights(path, network)  # looks at them all
    return np.frombuffer(path.read_bytes()[-4 * count_floats(network) :], "<f4").astype(np.float32)


def with_classes(network: Network, classes: int) -> Network:
    """The same network whose heads tell so many classes apart."""
    layers: list[Layer] = list(network.layers)
    for index, layer in enumerate(layers):
        before = layers[index - 1]
        if isinstance(layer, Yolo) and isinstance(before, Convolutional):
            layers[index - 1] = replace(before, filters=len(layer.anchors) * (5 + classes))
            layers[index] = replace(layer, classes=classes)
    return replace(network, layers=tuple(layers)).resized(network.width, network.height)


def transfer(
    network: Network, vector: Array, names: Sequence[str], wanted: Sequence[str], seed: int
) -> tuple[Network, Array]:
    """The network for the wanted classes, and numbers for it.

    Backbone, neck and the heads' boxes and objectness are kept, and so are the class scores of
    every wanted name that is among `names`; those of the others start afresh.
    """
    ours = with_classes(network, len(wanted))
    kept = [names.index(name) if name in names else None for name in wanted]
    fresh, old = _split(ours, initial(ours, seed)), _split(network, vector)
    result = []
    for shape, theirs, mine in zip(conv_shapes(network), old, fresh, strict=True):
        yolo = network.layers[shape.layer + 1] if shape.layer + 1 < len(network.layers) else None
        if not isinstance(yolo, Yolo):
            result += theirs
            continue
        for before, after in zip(theirs, mine, strict=True):
            # Rows of a head: for each anchor four of the box, objectness, then the classes.
            rows_before = before.reshape(len(yolo.anchors), 5 + yolo.classes, -1)
            rows = after.reshape(len(yolo.anchors), 5 + len(wanted), -1).copy()
            rows[:, :5] = rows_before[:, :5]
            for place, number in enumerate(kept):
                if number is not None:
                    rows[:, 5 + place] = rows_before[:, 5 + number]
            result.append(rows.ravel())
    return ours, np.concatenate(result)


def _split(network: Network, vector: Array) -> list[list[Array]]:
    """Each convolution's pieces of the vector."""
    found, cursor = [], 0
    for shape in conv_shapes(network):
        pieces = []
        for size in sizes_of(shape):
            pieces.append(vector[cursor : cursor + size])
            cursor += size
        found.append(pieces)
    return found
