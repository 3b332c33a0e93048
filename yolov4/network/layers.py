"""The layers of a network as plain data.

The layers stand in the order of Darknet's `.cfg`, and each names those it reads by their absolute
index, counted from 0. `architecture` writes YOLOv4 in them; `darknet` reads any `.cfg`.
"""

from dataclasses import dataclass

from yolov4.network.heads import Yolo


@dataclass(frozen=True)
class Convolutional:
    filters: int
    size: int
    stride: tuple[int, int] = (1, 1)  # down, across
    padding: int = 0  # pixels on each of the four sides
    groups: int = 1
    batch_normalize: bool = True
    activation: str = "leaky"


@dataclass(frozen=True)
class Shortcut:
    """The sum of the previous layer and of `sources`, with the channels of the previous layer.

    A source may have fewer, which go to the first, or more, of which the first are taken.
    """

    sources: tuple[int, ...]
    activation: str = "linear"


@dataclass(frozen=True)
class Route:
    """The channels of `sources` one after the other; of each source only one of its groups."""

    sources: tuple[int, ...]
    groups: int = 1
    group_id: int = 0


@dataclass(frozen=True)
class MaxPool:
    size: int
    stride: tuple[int, int] = (1, 1)  # down, across
    padding: int = 0  # pixels in all per axis; the smaller half comes before


@dataclass(frozen=True)
class Upsample:
    stride: int


@dataclass(frozen=True)
class Dropout:
    """Nothing at inference, but it counts as a layer."""


Layer = Convolutional | Shortcut | Route | MaxPool | Upsample | Dropout | Yolo
