"""The layers of a network as plain data.

The layers stand in the order of Darknet's `.cfg`, and each names those it reads by their absolute
index, counted from 0. `architecture` writes YOLOv4 in them; `darknet` reads any `.cfg`.
"""

from dataclasses import dataclass

from yolov4.network.heads import Head


@dataclass(frozen=True)
class Convolutional:
    filters: int
    size: int
    stride: tuple[int, int] = (1, 1)  # down, across
    padding: int = 0  # pixels on each of the four sides
    groups: int = 1
    batch_normalize: bool = True
    activation: str = "leaky"
    dilation: int = 1  # padded by `padding` times as many pixels


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
class Pool:
    """One pixel from each window."""

    size: int
    stride: tuple[int, int] = (1, 1)  # down, across
    padding: int = 0  # pixels in all per axis; the smaller half comes before


class MaxPool(Pool):
    """The largest value of each window and channel."""


class AveragePool(Pool):
    """The mean of each window's pixels, without those of the padding."""


@dataclass(frozen=True)
class GlobalAveragePool:
    """The mean of each channel: its output is 1x1."""


@dataclass(frozen=True)
class ScaleChannels:
    """`source` times the previous layer: a number per channel or, if `scale_wh`, per pixel."""

    source: int
    activation: str = "linear"
    scale_wh: bool = False


@dataclass(frozen=True)
class Sam:
    """The previous layer times `source`, of the same size (spatial attention, as in YOLOv4)."""

    source: int
    activation: str = "linear"


@dataclass(frozen=True)
class Reorg:
    """Space to depth: `stride` x `stride` pixels become the channels of one.

    `interleaved`: with YOLOv2's order of the values, which mixes channels and pixels: the array
    [channels, height, width] is read as [channels / stride^2, height * stride, width * stride].
    """

    stride: int
    interleaved: bool


@dataclass(frozen=True)
class Upsample:
    stride: int


@dataclass(frozen=True)
class Dropout:
    """Nothing at inference, but it counts as a layer."""


@dataclass(frozen=True)
class Contrastive:
    """A loss of training: nothing at inference."""


Layer = (
    Convolutional
    | Shortcut
    | Route
    | Pool
    | GlobalAveragePool
    | ScaleChannels
    | Sam
    | Reorg
    | Upsample
    | Dropout
    | Contrastive
    | Head
)
