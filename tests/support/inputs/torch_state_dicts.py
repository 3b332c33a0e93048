"""State dicts as pytorch-YOLOv4 has them, from Darknet weights."""

import struct
from pathlib import Path

import numpy as np

from tests.support.inputs.yolov4_models import NAMES, write_model
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.network.architecture import yolov4
from yolov4.network.network import Network
from yolov4.network.weights import conv_shapes

Tensors = dict[str, np.ndarray]


WIDTH = 1 / 8  # of the real network, so that a test takes milliseconds


def registered(classes: int = 80, width: float = 1.0) -> list[tuple[str, tuple[int, ...]]]:
    """The convolutions of models.py in order: name, filters x channels x size x size."""
    convolutions = []

    def conv(name: str, channels: int, filters: int, size: int) -> None:
        ours = [8 * max(1, round(c * width / 8)) for c in (channels, filters)]
        ours[0] = 3 if channels == 3 else ours[0]
        convolutions.append((name, (ours[1], ours[0], size, size)))

    def convs(module: str, first: int, *rest: tuple[int, int, int]) -> None:
        for number, (channels, filters, size) in enumerate(rest, first):
            conv(f"{module}.conv{number}", channels, filters, size)

    down1 = (3, 32, 3), (32, 64, 3), (64, 64, 1), (64, 64, 1), (64, 32, 1), (32, 64, 3)
    convs("down1", 1, *down1, (64, 64, 1), (128, 64, 1))
    for stage, blocks in enumerate((2, 8, 8, 4), 2):
        half, full = 2 ** (stage + 4), 2 ** (stage + 5)
        convs(f"down{stage}", 1, (half, full, 3), (full, half, 1), (full, half, 1))
        for block in range(blocks):
            for place, size in enumerate((1, 3)):
                conv(f"down{stage}.resblock.module_list.{block}.{place}", half, half, size)
        convs(f"down{stage}", 4, (half, half, 1), (full, full, 1))

    def squeeze(c: int, times: int) -> list[tuple[int, int, int]]:
        return [(c, 2 * c, 3), (2 * c, c, 1)] * times

    convs("neck", 1, (1024, 512, 1), *squeeze(512, 1), (2048, 512, 1), *squeeze(512, 1))
    convs("neck", 7, *[(512, 256, 1)] * 3, *squeeze(256, 2))
    convs("neck", 14, *[(256, 128, 1)] * 3, *squeeze(128, 2))
    convs("head", 1, (128, 256, 3), (256, 0, 1), (128, 256, 3), (512, 256, 1), *squeeze(256, 2))
    convs("head", 9, (256, 512, 3), (512, 0, 1), (256, 512, 3), (1024, 512, 1), *squeeze(512, 2))
    convs("head", 17, (512, 1024, 3), (1024, 0, 1))
    outputs = 3 * (5 + classes)
    heads = ("head.conv2", "head.conv10", "head.conv18")
    return [(name, (outputs, *s[1:]) if name in heads else s) for name, s in convolutions]


def tensors_of(weights: Path, network: Network, names: list[tuple[str, str]]) -> Tensors:
    """A `.weights` file as a state dict; `names` of each convolution and its normalization."""
    floats = np.fromfile(weights, "<f4", offset=20)
    cursor = 0
    tensors: Tensors = {}

    def take(*shape: int) -> np.ndarray:
        nonlocal cursor
        cursor += int(np.prod(shape))
        return floats[cursor - int(np.prod(shape)) : cursor].reshape(shape).copy()

    for (conv, norm), shape in zip(names, conv_shapes(network), strict=True):
        height, width, channels, filters = shape.kernel
        bias = take(filters)
        gamma, mean, variance = (take(filters) if shape.batch_normalize else None for _ in "123")
        tensors[f"{conv}.weight"] = take(filters, channels, height, width)
        if gamma is None or mean is None or variance is None:
            tensors[f"{conv}.bias"] = bias
            continue
        tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = gamma, bias
        tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"] = mean, variance
        tensors[f"{norm}.num_batches_tracked"] = np.array(1000)
    return tensors


class Model:
    """A narrow YOLOv4 of 3 classes: its `.weights`, and the state dict with the same numbers."""

    def __init__(self, folder: Path) -> None:
        self.network = yolov4(64, 64, len(NAMES), WIDTH)
        self.places = [name for name, _ in registered(len(NAMES), WIDTH)]
        rng = np.random.default_rng(0)
        floats = rng.uniform(0.1, 1, sum(s.floats for s in conv_shapes(self.network)))
        weights = folder / "narrow.weights"
        weights.write_bytes(struct.pack("<iiiq", 0, 2, 5, 0) + floats.astype("<f4").tobytes())
        self.wanted = read_weights(weights, self.network)
        names = [(f"{place}.conv.0", f"{place}.conv.1") for place in self.places]
        self.tensors = tensors_of(weights, self.network, names)


# tests/yolov4_models.py's network, as tool/darknet2pytorch.py would name it.
def small(folder: Path) -> tuple[Path, Path, Tensors]:
    cfg, weights, _ = write_model(folder)
    network = read_cfg(cfg)
    layers = [shape.layer for shape in conv_shapes(network)]
    names = [(f"models.{i}.conv{n}", f"models.{i}.bn{n}") for n, i in enumerate(layers, 1)]
    return cfg, weights, tensors_of(weights, network, names)
