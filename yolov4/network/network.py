"""A network: its layers, its input, its NMS, and the output size of every layer."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from yolov4.errors import LayerError, ModelError
from yolov4.network.heads import Head
from yolov4.network.layers import (
    Convolutional,
    GlobalAveragePool,
    Layer,
    Pool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)


@dataclass(frozen=True)
class Network:
    width: int  # input pixels
    height: int
    channels: int  # 3: RGB, 1: grey
    layers: tuple[Layer, ...]
    letter_box: bool = False  # pictures keep their aspect ratio, with grey borders
    # A box suppresses a worse one of its class if IoU - (d^2 / c^2) ** nms_beta exceeds 0.45, where
    # d is the distance of the centres and c the diagonal of the box around both (Zheng et al.,
    # arXiv:1911.08287). None: if the IoU alone does.
    nms_beta: float | None = None

    @property
    def heads(self) -> tuple[Head, ...]:
        """The layers that detect, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Head))

    @property
    def classes(self) -> int:
        """How many classes every head tells apart."""
        return self.heads[0].classes

    @property
    def stride(self) -> int:
        """Input pixels per pixel of the smallest layer: every multiple of it fits."""
        strides: list[Fraction] = []
        last = Fraction(1)
        for index, layer in enumerate(self.layers):
            match layer:
                case Convolutional(stride=stride) | Pool(stride=stride):
                    last *= max(stride)
                case Reorg(stride=each):
                    last *= each
                case Upsample(stride=each):
                    last /= each
                case Route(sources=(source, *_)) | ScaleChannels(source=source) if source < index:
                    last = strides[source]
            strides.append(last)
        return max(1, *map(int, strides))

    def resized(self, width: int, height: int) -> "Network":
        """The same layers at another input size, in pixels. ModelError if the size cannot be."""
        if width < 1 or height < 1:
            raise ModelError(f"the input size {width}x{height} is not positive")
        network = replace(self, width=width, height=height)
        try:
            shapes(network)
        except LayerError as error:
            if width % self.stride or height % self.stride:
                raise ModelError(
                    f"the input size {width}x{height} does not fit this network: both sides must "
                    f"be multiples of {self.stride}"
                ) from error
            raise
        return network


class Shape(NamedTuple):
    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.channels}"


def shapes(network: Network) -> list[Shape]:
    """Every layer's output, without the batch axis. LayerError where layers do not fit together."""
    out: list[Shape] = []
    last = Shape(network.height, network.width, network.channels)
    for index, layer in enumerate(network.layers):
        before = network.layers[index - 1] if index else None
        if isinstance(before, Head) and not isinstance(layer, Route):
            raise LayerError(index, f"nothing but a [route] can follow a [{before.section}]")
        match layer:
            case Convolutional(groups=groups) if last.channels % groups or layer.filters % groups:
                raise LayerError(
                    index,
                    f"groups={groups} must divide both the {last.channels} channels that come in "
                    f"and filters={layer.filters}",
                )
            case Convolutional(size=size, stride=(down, across), padding=padding):
                height = (last.height + 2 * padding - size) // down + 1
                width = (last.width + 2 * padding - size) // across + 1
                last = Shape(height, width, layer.filters)
            case Pool(size=size, stride=(down, across), padding=padding):
                height = (last.height + padding - size) // down + 1
                width = (last.width + padding - size) // across + 1
                last = Shape(height, width, last.channels)
            case GlobalAveragePool():
                last = Shape(1, 1, last.channels)
            case Upsample(stride=stride):
                last = Shape(last.height * stride, last.width * stride, last.channels)
            case Reorg(stride=stride):
                if last.height % stride or last.width % stride:
                    raise LayerError(
                        index, f"stride={stride} must divide the width and height of what is {last}"
                    )
                if layer.interleaved and last.channels % stride**2:
                    raise LayerError(
                        index, f"its {last.channels} channels must be a multiple of {stride**2}"
                    )
                last = Shape(last.height // stride, last.width // stride, last.channels * stride**2)
            case ScaleChannels(source=source) | Sam(source=source):
                (scaled,) = _sources(network, out, index, (source,))
                fits = {Sam: scaled, ScaleChannels: Shape(1, 1, scaled.channels)}[type(layer)]
                if isinstance(layer, ScaleChannels) and layer.scale_wh:
                    fits = scaled._replace(channels=1)
                if last != fits:
                    raise LayerError(
                        index,
                        f"multiplies layer {source}, which is {scaled}, by what is {last}: "
                        f"{fits} expected",
                    )
                last = scaled
            case Shortcut(sources=sources):
                found = _sources(network, out, index, sources)
                for shape, source in zip(found, sources, strict=True):
                    if shape[:2] != last[:2]:
                        raise LayerError(
                            index,
                            f"adds layer {source}, which is {shape}, to what is {last}: width and "
                            "height must be equal",
                        )
            case Route(sources=sources, groups=groups):
                found = _sources(network, out, index, sources)
                for shape, source in zip(found, sources, strict=True):
                    if shape[:2] != found[0][:2]:
                        raise LayerError(
                            index,
                            f"joins layer {sources[0]}, which is {found[0]}, with layer {source}, "
                            f"which is {shape}: width and height must be equal",
                        )
                    if shape.channels % groups or not 0 <= layer.group_id < groups:
                        raise LayerError(
                            index,
                            f"cannot take group_id={layer.group_id} of groups={groups} from the "
                            f"{shape.channels} channels of layer {source}",
                        )
                last = found[0]._replace(channels=sum(s.channels for s in found) // groups)
            case Head(anchors=anchors, classes=classes):
                wanted = len(anchors) * layer.row
                if last.channels != wanted:
                    raise LayerError(
                        index,
                        f"the layer before [{layer.section}] has {last.channels} filters, but "
                        f"{len(anchors)} anchors x ({layer.row - classes} + {classes} classes) "
                        f"need {wanted}",
                    )
        if min(last) < 1:
            raise LayerError(index, f"nothing is left of the picture: its output would be {last}")
        out.append(last)
    return out


def _sources(
    network: Network, done: list[Shape], index: int, sources: tuple[int, ...]
) -> list[Shape]:
    for source in sources:
        if not 0 <= source < index:
            raise LayerError(
                index, f"reads layer {source}, but only layers 0 to {index - 1} come before it"
            )
        layer = network.layers[source]
        if isinstance(layer, Head):
            raise LayerError(
                index, f"reads layer {source}, which is a [{layer.section}]: it has no features"
            )
    return [done[source] for source in sources]
