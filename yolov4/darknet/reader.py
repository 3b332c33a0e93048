"""Darknet's files: `.cfg` -> layers, `.weights` -> arrays, `.names` -> words.

Source of every default and rule: AlexeyAB/darknet, src/parser.c and src/option_list.c. What would
change the result and is not done here is refused by name and line; what only concerns training is
passed over.
"""

import warnings
from pathlib import Path

import numpy as np

from yolov4.darknet.cfg import Section, read_sections
from yolov4.errors import LayerError, ModelError, ModelWarning
from yolov4.network.heads import Yolo
from yolov4.network.layers import Convolutional, Dropout, Layer, MaxPool, Route, Shortcut, Upsample
from yolov4.network.network import Network
from yolov4.network.weights import Array, ConvWeights, conv_shapes, count_floats, fold_batch_norm


def read_cfg(path: Path) -> Network:
    """The network of a `.cfg`. ModelError, with file and line, for what cannot be served."""
    net, *sections = read_sections(path)
    if net.name not in ("net", "network"):
        raise net.error(f"a .cfg begins with [net], this one begins with [{net.name}]")
    width, height = net.integer("width", 0), net.integer("height", 0)
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


def read_weights(path: Path, network: Network) -> list[ConvWeights]:
    """Return the weights of a `.weights` file for this network, batch normalization folded in.

    Raises ModelError unless the file has exactly as many values as the network, all finite.
    """
    data = _read(path)
    header = _header_bytes(path, data)
    _check_size(path, len(data), header, network)
    floats = np.frombuffer(data, "<f4", offset=header)
    cursor = 0

    def take(count: int) -> Array:
        nonlocal cursor
        cursor += count
        return floats[cursor - count : cursor]

    arrays = []
    for shape in conv_shapes(network):
        if not np.isfinite(floats[cursor : cursor + shape.floats]).all():
            raise ModelError(f"{path}: layer {shape.layer} holds a NaN or an infinity")
        height, width, channels, filters = shape.kernel
        bias = take(filters)
        if shape.batch_normalize:
            gamma, mean, variance = take(filters), take(filters), take(filters)
        kernel = take(height * width * channels * filters)
        kernel = kernel.reshape(filters, channels, height, width).transpose(2, 3, 1, 0)
        if shape.batch_normalize:
            if (variance < 0).any():
                raise ModelError(
                    f"{path}: layer {shape.layer} has a negative variance, so these are not its "
                    "numbers. Was the file trained with another .cfg?"
                )
            arrays.append(fold_batch_norm(kernel, bias, gamma, mean, variance))
        else:
            arrays.append(ConvWeights(np.ascontiguousarray(kernel), bias))
    assert cursor == floats.size
    return arrays


def _check_size(path: Path, found: int, header: int, network: Network) -> None:
    expected = header + 4 * count_floats(network)
    if found == expected:
        return
    how, where = "is too long", ""
    if found < expected:
        ends = header + 4 * np.cumsum([shape.floats for shape in conv_shapes(network)])
        layer = conv_shapes(network)[np.searchsorted(ends, found, side="right")].layer
        how, where = "is cut short", f"; it ends within layer {layer}"
    raise ModelError(
        f"{path} {how}: {expected:,} bytes expected, {found:,} found{where}. "
        "Was it trained with another .cfg?"
    )


def _header_bytes(path: Path, data: bytes) -> int:
    """major, minor, revision, images seen: four int32, or from 0.2 on three and an int64."""
    if len(data) < 16:
        raise ModelError(f"{path} is cut short: a header of 16 bytes expected, {len(data)} found")
    # As Python's numbers: of a file that is no .weights, they overflow an int32.
    major, minor, _ = np.frombuffer(data, "<i4", count=3).tolist()
    return 20 if major * 10 + minor >= 2 else 16


def read_names(path: Path, classes: int | None = None) -> list[str]:
    """The words of a `.names`, one per line. ModelError unless there are `classes` of them."""
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 text, from byte {error.start} on") from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    for number, name in enumerate(names, start=1):
        if not name:
            raise ModelError(f"{path}, line {number}: a class without a name")
    if classes is not None and len(names) != classes:
        raise ModelError(f"{path} has {len(names)} names, but the network has {classes} classes")
    return names


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
