from pathlib import Path

import pytest

from yolov4.darknet.reader import read_cfg
from yolov4.network.architecture import BUILT_IN, yolov4, yolov4_tiny
from yolov4.network.layers import Convolutional, Shortcut
from yolov4.network.network import shapes
from yolov4.network.weights import count_floats


def test_the_built_in_networks_are_the_official_cfg_files_layer_by_layer(data: Path) -> None:
    for name in ("yolov4", "yolov4-tiny"):
        official = read_cfg(data / "darknet" / f"{name}.cfg")
        ours = BUILT_IN[name]()
        assert list(enumerate(ours.layers)) == list(enumerate(official.layers))
        assert ours == official


def test_yolov4_has_as_many_numbers_as_the_published_file() -> None:
    network = yolov4()
    assert len(network.layers) == 162
    assert sum(isinstance(layer, Convolutional) for layer in network.layers) == 110
    assert count_floats(network) == 64_429_405
    assert 20 + 4 * count_floats(network) == 257_717_640


def test_yolov4_tiny_has_as_many_numbers_as_the_published_file() -> None:
    assert 20 + 4 * count_floats(yolov4_tiny()) == 24_251_276


@pytest.mark.parametrize("name", ["yolov4", "yolov4-tiny"])
@pytest.mark.parametrize("width_multiplier", [0.125, 0.25, 0.3, 0.5])
def test_a_narrow_network_keeps_its_structure(name: str, width_multiplier: float) -> None:
    wide = BUILT_IN[name](classes=2)
    narrow = BUILT_IN[name](classes=2, width_multiplier=width_multiplier)
    assert [type(layer) for layer in narrow.layers] == [type(layer) for layer in wide.layers]
    assert narrow.heads == wide.heads
    assert count_floats(narrow) < count_floats(wide) * (width_multiplier + 0.05)
    assert [s[:2] for s in shapes(narrow)] == [s[:2] for s in shapes(wide)]


def test_fewer_blocks_keep_the_stages() -> None:
    deep, shallow = yolov4(classes=2), yolov4(classes=2, blocks=(1, 1, 2, 2, 1))
    shortcuts = [
        sum(isinstance(layer, Shortcut) for layer in network.layers) for network in (deep, shallow)
    ]
    assert shortcuts == [23, 7]
    assert shallow.heads == deep.heads
    assert len(shallow.layers) == 162 - 3 * 16  # two convolutions and their sum less for each
    last = [
        [shape for shape, layer in zip(shapes(net), net.layers, strict=True) if layer in net.heads]
        for net in (deep, shallow)
    ]
    assert last[0] == last[1]


def test_heads_follow_the_classes_and_the_input_size() -> None:
    network = yolov4(width=320, height=256, classes=5)
    found = [
        s
        for s, layer in zip(shapes(network), network.layers, strict=True)
        if layer in network.heads
    ]
    assert found == [(32, 40, 30), (16, 20, 30), (8, 10, 30)]
