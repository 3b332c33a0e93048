"""Reads `.cfg` files into layers, and `.names` files.

Source of every default and rule: AlexeyAB/darknet, src/parser.c and src/option_list.c. What would
change the result and is not done here is refused by name and line; what only concerns training is
passed over.
"""

from dataclasses import replace
from pathlib import Path

from yolov4.darknet.cfg import read_sections
from yolov4.darknet.files import read_text
from yolov4.darknet.sections import read_layer, read_nms
from yolov4.errors import LayerError, ModelError
from yolov4.network.heads import Head
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
    if channels not in (1, 3):
        raise net.error(f"channels={channels}: pictures have 3, or 1 if they are grey", "channels")
    layers = tuple(read_layer(section, index) for index, section in enumerate(sections))
    network = Network(width, height, channels, layers, bool(net.integer("letter_box", 0)))
    if not network.heads:
        raise ModelError(
            f"{path}: no [yolo], [Gaussian_yolo] or [region] section, so nothing in it detects"
        )
    for section, layer in zip(sections, layers, strict=True):
        if not isinstance(layer, Head):
            continue
        if layer.classes != network.classes:
            raise section.error(
                f"classes={layer.classes}, but the first [{network.heads[0].section}] has "
                f"{network.classes}",
                "classes",
            )
        # As in Darknet, the last head's counts: see test_detector in src/detector.c.
        network = replace(network, nms_beta=read_nms(section))
    try:
        return network.resized(width, height)
    except LayerError as error:
        raise sections[error.index].error(error.reason) from None
    except ModelError as error:
        raise net.error(str(error), "width") from None


def read_names(path: Path, classes: int | None = None) -> list[str]:
    """The words of a `.names`, one per line. ModelError unless there are `classes` of them."""
    names = [line.strip() for line in read_text(path).rstrip().splitlines()]
    for number, name in enumerate(names, start=1):
        if not name:
            raise ModelError(f"{path}, line {number}: a class without a name")
    if classes is not None and len(names) != classes:
        raise ModelError(f"{path} has {len(names)} names, but the network has {classes} classes")
    return names
