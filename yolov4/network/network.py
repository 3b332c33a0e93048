"""A network: its layers, its input size, and the output size of every layer."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from yolov4.errors import LayerError, ModelError
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Layer, MaxPool, Route, Shortcut, Upsample


@dataclass(frozen=True)
class Network:
    width: int  # input pixels
    height: int
    channels: int
    layers: tuple[Layer, ...]

    @property
    def heads(self) -> tuple[Yolo, ...]:
        """The [yolo] layers, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Yolo))

    @property
    def classes(self) -> int:
        """How many classes every head tells apart."""
        return self.heads[0].classes

    def resized(self, width: int, height: int) -> "Network":
        """The same layers at another input size, in pixels. ModelError if the size cannot be."""
        if width < 32 or height < 32 or width % 32 or height % 32:
            raise ModelError(
                f"the input size {width}x{height} will not do: both sides must be multiples of 32"
            )
        network = replace(self, width=width, height=height)
        shapes(network)
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
        if index and isinstance(network.layers[index - 1], Yolo) and not isinstance(layer, Route):
            raise LayerError(index, "nothing but a [route] can follow a [yolo]")
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
            case MaxPool(size=size, stride=(down, across), padding=padding):
                height = (last.height + padding - size) // down + 1
                width = (last.width + padding - size) // across + 1
                last = Shape(height, width, last.channels)
            case Upsample(stride=stride):
                last = Shape(last.height * stride, last.width * stride, last.channels)
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
            case Yolo(anchors=anchors, classes=classes):
                wanted = len(anchors) * (5 + classes)
                if last.channels != wanted:
                    raise LayerError(
                        index,
                        f"the layer before [yolo] has {last.channels} filters, but {len(anchors)} "
                        f"anchors x (5 + {classes} classes) need {wanted}",
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
        if isinstance(network.layers[source], Yolo):
            raise LayerError(index, f"reads layer {source}, which is a [yolo]: it has no features")
    return [done[source] for source in sources]
