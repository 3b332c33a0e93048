"""A network and its numbers -> Darknet's `.cfg`, `.weights` and `.names`: `darknet`, backwards."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from yolov4.darknet.sections import GREEDY_BETA
from yolov4.errors import ModelError
from yolov4.network.heads import GaussianYolo, Head, Region, Yolo
from yolov4.network.layers import (
    Contrastive,
    Convolutional,
    Dropout,
    GlobalAveragePool,
    Layer,
    MaxPool,
    Pool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Upsample,
)
from yolov4.network.network import Network
from yolov4.network.weights import Array, count_floats

VERSION = (0, 2, 5)  # of the format: major, minor, revision; from 0.2 on a 64-bit count follows


def write_model(
    folder: Path, name: str, network: Network, vector: Array, names: Sequence[str], seen: int
) -> tuple[Path, Path, Path]:
    """Write `<folder>/<name>.cfg`, `.weights` and `.names`, and return their paths.

    vector: as `write_weights` takes it. seen: how many pictures it was trained on.
    """
    files = tuple(folder / f"{name}.{ending}" for ending in ("cfg", "weights", "names"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_cfg(files[0], network)
        write_weights(files[1], network, vector, seen)
        files[2].write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"cannot write {folder}: {error.strerror}") from error
    return files[0], files[1], files[2]


def write_weights(path: Path, network: Network, vector: Array, seen: int = 0) -> None:
    """vector: float32 [count_floats(network)], each convolution's beta, gamma, mean, variance and
    kernel, or bias and kernel, the kernel as [filters, channels, height, width]."""
    assert vector.shape == (count_floats(network),)
    header = np.array(VERSION, "<i4").tobytes() + np.array([seen], "<i8").tobytes()
    path.write_bytes(header + vector.astype("<f4").tobytes())


def write_cfg(path: Path, network: Network) -> None:
    """`darknet.read_cfg` reads the very same network from it, but for anchors that no head uses."""
    sections = [
        _section(
            "net",
            {"width": network.width, "height": network.height, "channels": network.channels}
            | ({"letter_box": 1} if network.letter_box else {}),
        )
    ]
    # Every [yolo] lists all anchors and says which are its own: Darknet's own training wants that.
    anchors = sorted(
        {pair for yolo in network.heads for pair in yolo.anchors},
        key=lambda pair: (pair[0] * pair[1], pair),
    )
    sections += [
        _head(layer, anchors, network.nms_beta) if isinstance(layer, Head) else _layer(layer, i)
        for i, layer in enumerate(network.layers)
    ]
    path.write_text("\n".join(sections), encoding="utf-8")


def _section(name: str, values: Mapping[str, object]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in values.items()), ""])


def _layer(layer: Layer, index: int) -> str:
    match layer:
        case Convolutional():
            values: dict[str, object] = {"batch_normalize": 1} if layer.batch_normalize else {}
            values |= {"filters": layer.filters, "size": layer.size, **_stride(layer.stride)}
            values |= {"pad": 1} if layer.padding == layer.size // 2 else {"padding": layer.padding}
            values |= {"groups": layer.groups} if layer.groups > 1 else {}
            values |= {"dilation": layer.dilation} if layer.dilation > 1 else {}
            return _section("convolutional", {**values, "activation": layer.activation})
        case Shortcut():
            values = {"from": _relative(layer.sources, index), "activation": layer.activation}
            return _section("shortcut", values)
        case Route():
            values = {"layers": _relative(layer.sources, index)}
            if layer.groups > 1:
                values |= {"groups": layer.groups, "group_id": layer.group_id}
            return _section("route", values)
        case Pool():
            values = {"size": layer.size, **_stride(layer.stride)}
            if layer.padding != layer.size - 1:
                values["padding"] = layer.padding
            return _section("maxpool" if isinstance(layer, MaxPool) else "local_avgpool", values)
        case GlobalAveragePool():
            return _section("avgpool", {})
        case ScaleChannels() | Sam():
            values = {"from": _relative((layer.source,), index), "activation": layer.activation}
            if isinstance(layer, Sam):
                return _section("sam", values)
            return _section("scale_channels", {**values, "scale_wh": int(layer.scale_wh)})
        case Reorg():
            name = "reorg" if layer.interleaved else "reorg3d"
            return _section(name, {"stride": layer.stride})
        case Upsample():
            return _section("upsample", {"stride": layer.stride})
        case Dropout():
            return _section("dropout", {})
        case Contrastive():
            return _section("contrastive", {})
    raise AssertionError(f"{layer} is a head")


def _head(head: Head, anchors: list[tuple[float, float]], nms_beta: float | None) -> str:
    values: dict[str, object] = {
        "anchors": ", ".join(f"{w!r},{h!r}" for w, h in anchors),
        "classes": head.classes,
        "num": len(anchors),
    }
    if isinstance(head, Region):
        own = ", ".join(f"{w!r},{h!r}" for w, h in head.anchors)
        values |= {"anchors": own, "num": len(head.anchors), "softmax": 1}
        return _section(head.section, values)
    values = {"mask": ",".join(str(anchors.index(pair)) for pair in head.anchors), **values}
    if isinstance(head, Yolo):
        values |= {"scale_x_y": head.scale_x_y}
        values |= {"new_coords": 1} if head.new_coords else {}
    if isinstance(head, GaussianYolo):
        values |= {"scale_x_y": head.scale_x_y, "yolo_point": head.point}
    if nms_beta is not None:
        greedy = nms_beta == GREEDY_BETA
        values |= {"nms_kind": "greedynms"} if greedy else {"nms_kind": "diounms"}
        values |= {"beta_nms": nms_beta}
    return _section(head.section, values)


def _stride(stride: tuple[int, int]) -> dict[str, int]:
    down, across = stride
    return {"stride": down} if down == across else {"stride_y": down, "stride_x": across}


def _relative(sources: tuple[int, ...], index: int) -> str:
    return ",".join(str(source - index) for source in sources)
