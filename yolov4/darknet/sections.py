"""A section of a `.cfg` -> the layer that it describes, with Darknet's defaults.

Source of every default and rule: AlexeyAB/darknet, src/parser.c.
"""

from yolov4.darknet.cfg import Section
from yolov4.darknet.keys import SAME
from yolov4.network.heads import Anchors, GaussianYolo, Region, Yolo
from yolov4.network.layers import (
    AveragePool,
    Contrastive,
    Convolutional,
    Dropout,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)

GREEDY_BETA = 0.6  # box_diou in src/box.c


def read_layer(section: Section, index: int) -> Layer:
    """index: of the layer, counted from 0. ModelError, with file and line, for what is wrong."""
    match SAME.get(section.name, section.name):
        case "convolutional":
            return _convolutional(section)
        case "shortcut":
            return Shortcut(_sources(section, "from", index), section.activation("linear"))
        case "route":
            return Route(
                _sources(section, "layers", index),
                section.integer("groups", 1, at_least=1),
                section.integer("group_id", 0),
            )
        case "maxpool":
            return MaxPool(*_window(section))
        case "local_avgpool":
            return AveragePool(*_window(section))
        case "avgpool":
            return GlobalAveragePool()
        case "scale_channels":
            scale_wh = bool(section.integer("scale_wh", 0))
            return ScaleChannels(*_scaled(section, index), scale_wh)
        case "sam":
            return Sam(*_scaled(section, index))
        case "reorg" | "reorg3d" as name:
            return Reorg(section.integer("stride", 1, at_least=1), interleaved=name == "reorg")
        case "upsample":
            return Upsample(section.integer("stride", 2, at_least=1))
        case "dropout":
            return Dropout()
        case "contrastive":
            return Contrastive()
        case "yolo":
            return Yolo(
                *_anchors_and_classes(section),
                scale_x_y=section.number("scale_x_y", 1.0),
                new_coords=bool(section.integer("new_coords", 0)),
            )
        case "Gaussian_yolo":
            return GaussianYolo(
                *_anchors_and_classes(section),
                scale_x_y=section.number("scale_x_y", 1.0),
                point=section.word("yolo_point", "center", "left_top", "right_bottom"),
            )
        case "region":
            if not section.integer("softmax", 0):
                raise section.error("only softmax=1 is supported", "softmax")
            return Region(*_anchors_and_classes(section))
    raise section.error(f"[{section.name}] is not supported")


def read_nms(section: Section) -> float | None:
    """The exponent of a head's DIoU-NMS, None for NMS by IoU: see `Network.nms_beta`."""
    match section.word("nms_kind", "default", "greedynms", "diounms", "cornersnms"):
        case "greedynms":
            return GREEDY_BETA
        case "diounms":
            return section.number("beta_nms", 0.6)
    return None


def _convolutional(section: Section) -> Convolutional:
    size = section.integer("size", 1, at_least=1)
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0)
    dilation = section.integer("dilation", 1, at_least=1)
    if dilation > 1 and 2 * padding != size - 1:
        # Darknet's output has another size than its convolution then.
        raise section.error(f"dilation={dilation} needs pad=1 and an odd size", "dilation")
    return Convolutional(
        filters=section.integer("filters", 1, at_least=1),
        size=size,
        stride=_stride(section),
        padding=padding,
        groups=section.integer("groups", 1, at_least=1),
        batch_normalize=bool(section.integer("batch_normalize", 0) or section.integer("cbn", 0)),
        activation=section.activation("logistic"),
        dilation=dilation,
    )


def _window(section: Section) -> tuple[int, tuple[int, int], int]:
    """A pool's size, stride and padding."""
    size = section.integer("size", section.integer("stride", 1), at_least=1)
    return size, _stride(section), section.integer("padding", size - 1)


def _scaled(section: Section, index: int) -> tuple[int, str]:
    """The source of a product, and its activation."""
    (source, *others) = _sources(section, "from", index)
    activation = section.activation("linear")
    if others:
        raise section.error("from= names one layer", "from")
    if activation in ("swish", "mish"):
        raise section.error(f"[{section.name}] has no activation={activation}", "activation")
    return source, activation


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


def _anchors_and_classes(section: Section) -> tuple[Anchors, int]:
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
    chosen_pairs = tuple(pairs[chosen] for chosen in mask)
    return chosen_pairs, section.integer("classes", 20, at_least=1)
