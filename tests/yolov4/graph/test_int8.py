"""The body in 8 bits: the same network, rescaled, and close to float32."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from tests.support.inputs.yolov4_models import SMALL_CFG, TINY_CFG
from tests.yolov4.export.artefacts import small
from yolov4.darknet.reader import read_cfg
from yolov4.errors import ModelError
from yolov4.graph import int8
from yolov4.graph.activations import after_sum
from yolov4.graph.body import body, convolutional, walk
from yolov4.network.architecture import BUILT_IN
from yolov4.network.layers import Convolutional

HEAD = TINY_CFG[TINY_CFG.index("[convolutional]\nfilters=24") : TINY_CFG.index("[route]\nlayers=7")]
CONV = (
    "[convolutional]\nbatch_normalize=1\nfilters={}\nsize={}\nstride={}\npad=1\nactivation=leaky\n"
)
# Widths and strides that occur seldom, and YOLOv3-tiny's pool without a stride.
UNUSUAL_CFG = (
    "[net]\nwidth=96\nheight=64\nchannels=3\n"
    + CONV.format(8, 3, 2)
    + CONV.format(30, 1, 2)
    + "[maxpool]\nsize=2\nstride=1\n"
    + CONV.format(75, 5, 1)
    + HEAD
)
CFGS = {"like tiny": TINY_CFG, "unusual": UNUSUAL_CFG}


def test_rescaled_weights_give_the_same_heads(tmp_path: Path) -> None:
    network, weights, pixels = small(tmp_path, TINY_CFG)
    largest = np.linspace(0.3, 7, len(weights)).tolist()
    heads = body(network, int8.rescaled(network, weights, largest), pixels)
    for head, wanted in zip(heads, body(network, weights, pixels), strict=True):
        np.testing.assert_allclose(head, wanted, rtol=1e-3, atol=1e-4)


def test_a_convolution_that_gives_only_zeros_stays_as_it_is(tmp_path: Path) -> None:
    network, weights, _ = small(tmp_path, TINY_CFG)
    same = int8.rescaled(network, weights, [0.0] * len(weights))
    for numbers, wanted in zip(same, weights, strict=True):
        np.testing.assert_array_equal(numbers.kernel, wanted.kernel)


def test_the_official_tiny_network_can_be_in_8_bits() -> None:
    int8.check(BUILT_IN["yolov4-tiny"](classes=80))


@pytest.mark.parametrize("cfg", CFGS.values(), ids=CFGS)
def test_the_heads_are_close_to_float32(
    cfg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "CLIP", 1.0)  # random numbers have no few to clip
    network, weights, pixels = small(tmp_path, cfg)
    weights[1].kernel[..., 0] = 0  # a filter that gives its bias
    largest: list[float] = []
    unused = iter(weights)

    def convolve(layer: Convolutional, x: Any) -> Any:
        x = convolutional(layer, next(unused), x)
        largest.append(float(tf.reduce_max(tf.abs(x))))
        return x

    wanted = walk(network, pixels, convolve, tf.add, after_sum)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        numbers = int8.rescaled(network, weights, largest)
        heads = session.run(int8.body(network, numbers, tf.constant(pixels.numpy())))
    for head, exact in zip(heads, wanted, strict=True):
        off = np.abs(head - exact.numpy())
        assert 0 < off.mean() < 0.05 * np.abs(exact.numpy()).mean()


@pytest.mark.parametrize(
    ("cfg", "reason"),
    [
        (SMALL_CFG, "Layer 0 is another: Convolutional.*mish"),
        (TINY_CFG.replace("[upsample]", "[shortcut]\nfrom=7\n[upsample]"), "11 is.*: Shortcut"),
        (TINY_CFG.replace("filters=16", "filters=16\ngroups=2"), "Layer 1 is.*groups=2"),
        (TINY_CFG.replace("filters=24\nsize=1", "groups=2\nfilters=24\nsize=1"), "8 is.*groups=2"),
        (TINY_CFG.replace("linear\n\n[yolo]", "leaky\n[maxpool]\nsize=1\n[yolo]"), "is.*: Yolo"),
        (TINY_CFG.replace("layers=7", "layers=7,8"), "10 is another: Route"),
    ],
)
def test_what_is_not_expressed_in_8_bits_is_said(tmp_path: Path, cfg: str, reason: str) -> None:
    file = tmp_path / "net.cfg"
    file.write_text(cfg)
    with pytest.raises(ModelError, match=reason):
        int8.check(read_cfg(file))


def test_a_tensorflow_without_the_operations_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolov4.graph.quantized.op_def_registry.get", lambda name: None)
    with pytest.raises(ModelError, match="has no _FusedQuantizedConv2D and no _QuantizedMatMul"):
        int8.check(BUILT_IN["yolov4-tiny"](classes=80))
