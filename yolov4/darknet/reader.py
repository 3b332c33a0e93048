"""Reads `.cfg` files into layers, and `.names` files.

Source of every default and rule: AlexeyAB/darknet, src/parser.c and src/option_list.c. What would
change the result and is not done here is refused by name and line; what only concerns training is
passed over.
"""

import warnings
from pathlib import Path

from yolov4.darknet.cfg import Section, read_sections
from yolov4.darknet.files import read_text
from yolov4.errors import LayerError, ModelError, ModelWarning
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shortcut, Upsample
from yolov4.network.network import Network


def read_cfg(path: Path) -> Network:
    """The network of a `.cfg`. ModelError, with file and line, for what cannot be served."""
    net, *sections = read_sections(path)
    if net.name not in ("net", "network"):
        raise net.error(f"a .cfg begins with [net], this one begins with [{net.name}]")
    width, height = net.integer("width", 0), net.integer("height", 0)
    for key in ("width", "height"):
        if key not in net.values:
            raise net.error(f"{key}= is missing in [{net.name}]: the input size in pixels")
    channels = net.integer("channels", 0)
    if channels != 3:
        raise net.error(f"channels={channels}: pictures have 3", "channels")
    if net.integer("letter_box", 0):
        # Refusing would refuse every yolov4-csp. Its weights do find things in a stretched
        # picture, only not as well as their authors measured, and the user should hear of it.
        warnings.warn(
            f"{net.where('letter_box')}: letter_box=1, trained on pictures with borders added, but "
            "pictures are stretched to the input size here: expect a somewhat lower AP",
            ModelWarning,
            stacklevel=2,
        )
    layers = tuple(_layer(section, index) for index, section in enumerate(sections))
    network = Network(width, height, channels, layers)
    if not network.heads:
        raise ModelError(f"{path}: no [yolo] section, so nothing in it detects")
    for section, layer in zip(sections, layers, strict=True):
        if isinstance(layer, Yolo) and layer.classes != network.classes:
            raise section.error(
                f"classes={layer.classes}, but the first [yolo] has {network.classes}", "classes"
            )
    try:
        return network.resized(width, height)
    except LayerError as error:
        raise sections[error.index].error(error.reason) from None
    except ModelError as error:
        raise net.error(str(error), "width") from None


def _layer(section: Section, index: int) -> Layer:
    match section.name:
        case "convolutional" | "conv":
            size = section.integer("size", 1, at_least=1)
            padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0)
            return Convolutional(
                filters=section.integer("filters", 1, at_least=1),
                size=size,
                stride=_stride(section),
                padding=padding,
                groups=section.integer("groups", 1, at_least=1),
                batch_normalize=bool(
                    section.integer("batch_normalize", 0) or section.integer("cbn", 0)
                ),
                activation=section.activation("logistic"),
            )
        case "shortcut":
            return Shortcut(_sources(section, "from", index), section.activation("linear"))
        case "route":
            return Route(
                _sources(section, "layers", index),
                section.integer("groups", 1, at_least=1),
                section.integer("group_id", 0),
            )
        case "maxpool" | "max":
            stride = _stride(section)
            size = section.integer("size", section.integer("stride", 1), at_least=1)
            return MaxPool(size, stride, section.integer("padding", size - 1))
        case "upsample":
            return Upsample(section.integer("stride", 2, at_least=1))
        case "dropout":
            return Dropout()
        case "yolo":
            return _yolo(section)
    raise section.error(f"[{section.name}] is not supported")


def _stride(section: Section) -> tuple[int, int]:
    stride = section.integer("stride", 1, at_least=1)
    return (
        section.integer("stride_y", stride, at_least=1),
        section.integer("stride_x", stride, at_least=1),
    )


def _sources(section: Section, key: str, index: int) -> tuple[int, ...]:
    sources = section.integers(key)
    if not sources:
        raise section.error(f"{key}= is missing: it names the layers to read")
    for source in sources:
        if source >= index or index + source < 0:
            raise section.error(
                f"{key}={source}: there is no such layer before this one, which is layer {index}",
                key,
            )
    return tuple(source if source >= 0 else index + source for source in sources)


def _yolo(section: Section) -> Yolo:
    numbers = section.numbers("anchors")
    pairs = list(zip(numbers[0::2], numbers[1::2], strict=False))
    total = section.integer("num", 1)
    mask = section.integers("mask") or tuple(range(total))
    if len(numbers) < 2 * total:
        raise section.error(
            f"anchors= holds {len(numbers)} numbers, but num={total} needs {2 * total}", "anchors"
        )
    for chosen in mask:
        if not 0 <= chosen < total:
            raise section.error(
                f"mask={chosen}: anchors are numbered from 0 to {total - 1}", "mask"
            )
    return Yolo(
        anchors=tuple(pairs[chosen] for chosen in mask),
        classes=section.integer("classes", 20, at_least=1),
        scale_x_y=section.number("scale_x_y", 1.0),
        new_coords=bool(section.integer("new_coords", 0)),
    )


def read_names(path: Path, classes: int | None = None) -> list[str]:
    """The words of a `.names`, one per line. ModelError unless there are `classes` of them."""
    names = [line.strip() for line in read_text(path).rstrip().splitlines()]
    for number, name in enumerate(names, start=1):
        if not name:
            raise ModelError(f"{path}, line {number}: a class without a name")
    if classes is not None and len(names) != classes:
        raise ModelError(f"{path} has {len(names)} names, but the network has {classes} classes")
    return names
