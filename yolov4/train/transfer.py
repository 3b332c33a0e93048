"""Initial weights for training: copied from an existing model as far as the classes match."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolov4.darknet.weights import read_vector
from yolov4.errors import ModelError
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Layer
from yolov4.network.network import Network
from yolov4.network.weights import Array, conv_shapes
from yolov4.train.forward import initial, sizes_of


def starting_vector(path: Path, network: Network, seed: int) -> tuple[Array, int]:
    """All values of a network to train, and how many of its layers they were read for.

    path: a `.weights` file, which may hold only the first layers, as `yolov4.conv.137` does: the
    others start from scratch. ModelError as `read_weights`.
    """
    copied = read_vector(path, network, partial=True)
    vector = np.concatenate([copied, initial(network, seed)[len(copied) :]])
    ends = np.cumsum([shape.floats for shape in conv_shapes(network)])
    after = [shape.layer for shape in conv_shapes(network)][int((ends <= len(copied)).sum()) :]
    return vector, after[0] if after else len(network.layers)


def trainable(network: Network) -> Network:
    """The network as it is trained. ModelError for what the loss or the data do not support."""
    if not all(isinstance(head, Yolo) for head in network.heads):
        raise ModelError("only networks whose heads are [yolo] sections can be trained")
    if network.channels != 3:
        raise ModelError(f"channels={network.channels}: only networks for RGB can be trained")
    for before, layer in zip(network.layers, network.layers[1:], strict=False):
        scaled = isinstance(layer, Yolo) and layer.new_coords
        if scaled and getattr(before, "activation", None) != "logistic":
            raise ModelError(
                "heads with new_coords=1 can be trained only where the convolution before the "
                "[yolo] has activation=logistic"
            )
    # Training stretches every picture, so the trained network wants stretched ones.
    return replace(network, letter_box=False)


def with_classes(network: Network, classes: int) -> Network:
    """The same network with heads for `classes` classes."""
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
    """Return the network for the wanted classes, and its weights.

    Backbone, neck and the heads' boxes and objectness are copied, as are the class scores of wanted
    names that are among `names`; the other class scores start from scratch.
    """
    ours = with_classes(network, len(wanted))
    sources = [names.index(name) if name in names else None for name in wanted]
    fresh, old = _split(ours, initial(ours, seed)), _split(network, vector)
    result = []
    for shape, theirs, mine in zip(conv_shapes(network), old, fresh, strict=True):
        yolo = network.layers[shape.layer + 1] if shape.layer + 1 < len(network.layers) else None
        if not isinstance(yolo, Yolo):
            result += theirs
            continue
        for before, after in zip(theirs, mine, strict=True):
            # Rows of a head: for each anchor four box values, objectness, then the classes.
            rows_before = before.reshape(len(yolo.anchors), 5 + yolo.classes, -1)
            rows = after.reshape(len(yolo.anchors), 5 + len(wanted), -1).copy()
            rows[:, :5] = rows_before[:, :5]
            for place, number in enumerate(sources):
                if number is not None:
                    rows[:, 5 + place] = rows_before[:, 5 + number]
            result.append(rows.ravel())
    return ours, np.concatenate(result)


def _split(network: Network, vector: Array) -> list[list[Array]]:
    """Each convolution's pieces of the vector."""
    convolutions, cursor = [], 0
    for shape in conv_shapes(network):
        pieces = []
        for size in sizes_of(shape):
            pieces.append(vector[cursor : cursor + size])
            cursor += size
        convolutions.append(pieces)
    return convolutions
