"""The body against OpenCV's Darknet reader, and its odd layers against numpy."""

import os
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tests.support.inputs.layers import run
from tests.support.inputs.official import Official
from tests.support.inputs.yolov4_models import write_model
from tests.support.oracles.neuron_partition import SUPPORTED
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.darknet.writer import write_cfg
from yolov4.graph.body import body
from yolov4.network.architecture import BUILT_IN
from yolov4.network.heads import Yolo
from yolov4.network.layers import (
    AveragePool,
    Convolutional,
    Dropout,
    MaxPool,
    Route,
    Shortcut,
)
from yolov4.network.network import Network
from yolov4.network.weights import ConvWeights

Array = npt.NDArray[np.float32]

# Those that OpenCV reads; the others are in test_activations.
OPENCVS = ("linear", "leaky", "mish", "swish", "logistic", "relu", "tanh")

# OpenCV adds this to a variance where Darknet, and we, add 1e-5: nearly all of the difference.
OPENCV_EPSILON = 1e-6


def assert_heads_agree_with_opencv(cfg: Path, weights: Path) -> None:
    network = read_cfg(cfg)
    image = np.random.default_rng(1).random((1, network.height, network.width, 3), np.float32)
    ours = run(network, read_weights(weights, network), image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yolov4.network.weights.BATCH_NORM_EPSILON", OPENCV_EPSILON)
        closer = run(network, read_weights(weights, network), image)

    reader = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    reader.setInput(image.transpose(0, 3, 1, 2).copy())
    before = [i - 1 for i, layer in enumerate(network.layers) if isinstance(layer, Yolo)]
    squashed = [
        isinstance(layer := network.layers[i], Convolutional) and layer.activation == "logistic"
        for i in before
    ]
    # OpenCV counts an activation as the layer after its convolution.
    theirs = reader.forward(
        [f"logistic_{i + 1}" if s else f"conv_{i}" for i, s in zip(before, squashed, strict=True)]
    )
    theirs = [np.transpose(head, (0, 2, 3, 1)) for head in theirs]
    assert len(network.heads) > 0
    for found, tolerance in ((ours, 1e-3), (closer, 5e-5)):
        for a, b in zip(found, theirs, strict=True):
            assert a.shape == b.shape
            worst = np.abs(a - b).max() / np.abs(b).max()
            # Against what the picture makes of a head, without what its bias adds everywhere.
            spread = np.abs(b - b.mean(axis=(1, 2), keepdims=True)).mean()
            mean = np.abs(a - b).mean() / spread
            assert worst < tolerance
            assert mean < tolerance


def random_model(folder: Path, name: str, size: int) -> tuple[Path, Path]:
    """An official network at another input size, and a file of random numbers for it."""
    cfg = folder / "built-in.cfg"
    write_cfg(cfg, BUILT_IN[name]().resized(size, size))
    # As trained: where variances are small, OpenCV's other epsilon makes a difference of its own.
    return write_model(folder, cfg.read_text(), spread=0.2, gain=1.5)[:2]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("yolov4-tiny", 416),
        pytest.param("yolov4", 320, marks=pytest.mark.slow),
        pytest.param("yolov4", 608, marks=pytest.mark.slow),
    ],
)
def test_official_networks_agree_with_opencv(tmp_path: Path, name: str, size: int) -> None:
    assert_heads_agree_with_opencv(*random_model(tmp_path, name, size))


def test_the_official_weights_agree_with_opencv(official: Official) -> None:
    assert_heads_agree_with_opencv(official.cfg, official.weights)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bit_of_everything_agrees_with_opencv(tmp_path: Path, seed: int) -> None:
    assert_heads_agree_with_opencv(*write_model(tmp_path, seed=seed)[:2])


V3 = """
[net]
width=96
height=160
channels=3

{layers}

[convolutional]
filters=16
size=1
activation={head}

[yolo]
mask=0,1
num=2
anchors=10,14,23,27
classes=3
new_coords={new_coords}
"""
CONVOLUTION = """
[convolutional]
batch_normalize=1
filters={filters}
size={size}
stride={stride}
pad=1
groups={groups}
activation={activation}
"""


def convolution(
    filters: int, size: int, stride: int = 1, groups: int = 1, activation: str = "leaky"
) -> str:
    return CONVOLUTION.format(
        filters=filters, size=size, stride=stride, groups=groups, activation=activation
    )


@pytest.mark.parametrize("activation", OPENCVS)
def test_every_activation_agrees_with_opencv(tmp_path: Path, activation: str) -> None:
    layers = convolution(8, 3, activation=activation)
    cfg = V3.format(layers=layers, head="linear", new_coords=0)
    assert_heads_agree_with_opencv(*write_model(tmp_path, cfg)[:2])


@pytest.mark.parametrize(
    "layers",
    [
        convolution(8, 3, 2) + convolution(4, 1) + convolution(8, 3) + "[shortcut]\nfrom=-3\n",
        convolution(8, 3, 2) + convolution(24, 3, groups=4) + convolution(16, 1, groups=2),
        convolution(8, 3) + convolution(8, 3, groups=8) + convolution(16, 5, 2, groups=8),
        convolution(8, 5, 2) + convolution(8, 2) + convolution(8, 7, 4),
        convolution(8, 3) + "[maxpool]\nsize=2\nstride=2\n" + "[maxpool]\nsize=2\nstride=1\n",
        convolution(8, 3) + "[maxpool]\nsize=13\nstride=1\n[route]\nlayers=-1,-2\n",
        convolution(8, 3, 2) + "[upsample]\nstride=2\n" + convolution(8, 3, 2),
        convolution(8, 3) + convolution(12, 1) + "[shortcut]\nfrom=-2\n",
        convolution(8, 3)
        + "[avgpool]\n"
        + convolution(8, 1, activation="logistic")
        + "[scale_channels]\nfrom=-3\n",
        convolution(8, 3) + convolution(8, 1, activation="logistic") + "[sam]\nfrom=-2\n",
        convolution(8, 3, 2) + "[reorg]\nstride=2\n",
    ],
    ids=[
        "residual",
        "grouped",
        "depthwise",
        "large kernels",
        "pooling",
        "SPP",
        "upsample",
        "fewer channels",
        "squeeze and excite",
        "attention",
        "reorg",
    ],
)
def test_pieces_agree_with_opencv(tmp_path: Path, layers: str) -> None:
    cfg = V3.format(layers=layers, head="linear", new_coords=0)
    assert_heads_agree_with_opencv(*write_model(tmp_path, cfg)[:2])


@pytest.mark.parametrize("activation", OPENCVS)
@pytest.mark.parametrize("before", ["linear", "leaky"])
def test_every_activation_of_a_sum_agrees_with_opencv(
    tmp_path: Path, before: str, activation: str
) -> None:
    """TensorFlow fuses a convolution, a sum and an activation, and gets one of them wrong."""
    layers = convolution(8, 3) + convolution(8, 3, activation=before)
    layers += f"[shortcut]\nfrom=-2\nactivation={activation}\n"
    cfg = V3.format(layers=layers, head="linear", new_coords=0)
    assert_heads_agree_with_opencv(*write_model(tmp_path, cfg)[:2])


def test_heads_of_new_coords_agree_with_opencv(tmp_path: Path) -> None:
    cfg = V3.format(layers=convolution(8, 3, 2), head="logistic", new_coords=1)
    assert_heads_agree_with_opencv(*write_model(tmp_path, cfg)[:2])


@pytest.mark.parametrize("filters", [4, 8, 12])
def test_a_shortcut_keeps_the_channels_of_the_layer_before(filters: int) -> None:
    """Source: shortcut_multilayer_cpu in Darknet's src/blas.c."""
    rng = np.random.default_rng(0)
    layers = (
        Convolutional(filters, 1, batch_normalize=False, activation="linear"),
        Convolutional(8, 1, batch_normalize=False, activation="linear"),
        Shortcut((0,)),
        Yolo(((1.0, 1.0),), classes=3),
    )
    first = ConvWeights(rng.random((1, 1, 3, filters), np.float32), np.zeros(filters, np.float32))
    second = ConvWeights(rng.random((1, 1, filters, 8), np.float32), np.zeros(8, np.float32))
    image = rng.random((1, 32, 32, 3), np.float32)
    (out,) = run(Network(32, 32, 3, layers), [first, second], image)
    before = image @ first.kernel[0, 0]
    wanted = before @ second.kernel[0, 0]
    shared = min(filters, 8)
    wanted[..., :shared] += before[..., :shared]
    np.testing.assert_allclose(out, wanted, rtol=1e-5)


def test_the_body_is_one_scope_of_constants_that_inferentia_can_take(official: Official) -> None:
    network = read_cfg(official.cfg)
    weights = read_weights(official.weights, network)
    with tf.Graph().as_default() as graph:
        feed = tf.compat.v1.placeholder(tf.float32, [None, 416, 416, 3])
        heads = body(network, weights, feed)
        operations = [op for op in graph.get_operations() if op is not feed.op]
    assert [head.shape.as_list() for head in heads] == [[None, 13, 13, 255], [None, 26, 26, 255]]
    assert all(op.name.startswith("body/") for op in operations)
    assert {op.type for op in operations} <= SUPPORTED
    # Each of the three stages takes a slice, and pools both parts before it joins them.
    assert [sum(op.type == kind for op in operations) for kind in ("Split", "MaxPool")] == [0, 6]


@pytest.mark.parametrize("seed", range(6))
def test_pooling_before_joining_is_pooling_what_was_joined(seed: int) -> None:
    rng = np.random.default_rng(seed)
    filters = rng.integers(1, 9, 3).tolist()
    size, stride = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    convolutions = [Convolutional(n, 3, padding=1, batch_normalize=False) for n in filters]
    sources = tuple(rng.permutation(3)[: rng.integers(1, 4)].tolist())
    pool = (AveragePool if seed % 2 else MaxPool)(size, (stride, stride), size - 1)
    channels = sum(filters[i] for i in sources)
    last = Convolutional(8, 1, batch_normalize=False, activation="linear")
    weights = [
        ConvWeights(rng.normal(size=shape).astype(np.float32), np.zeros(shape[3], np.float32))
        for shape in [
            *((3, 3, before, after) for before, after in pairwise([3, *filters])),
            (1, 1, channels, 8),
        ]
    ]
    image = rng.random((2, 24, 40, 3), np.float32)
    joined, plain = (
        run(Network(40, 24, 3, (*convolutions, *layers, last, Yolo(((1, 1),), 3))), weights, image)
        for layers in ([Route(sources), pool], [Route(sources), Dropout(), pool])
    )
    np.testing.assert_array_equal(joined, plain)


def test_a_batch_is_its_pictures_one_by_one(tmp_path: Path) -> None:
    cfg, weights_file, _ = write_model(tmp_path)
    network = read_cfg(cfg)
    weights = read_weights(weights_file, network)
    images = np.random.default_rng(2).random((3, 64, 96, 3), np.float32)
    for batch, *single in zip(
        run(network, weights, images),
        *(run(network, weights, image[None]) for image in images),
        strict=True,
    ):
        np.testing.assert_allclose(batch, np.concatenate(single), rtol=1e-4, atol=1e-5)
