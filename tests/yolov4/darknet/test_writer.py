"""Darknet's files, written: our reader and OpenCV's find in them what was put in."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.inputs.yolov4_models import write_model as write_random_model
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_vector, read_weights
from yolov4.darknet.writer import write_cfg, write_model, write_weights
from yolov4.network.architecture import yolov4, yolov4_tiny
from yolov4.network.heads import GaussianYolo, Region, Yolo
from yolov4.network.layers import (
    AveragePool,
    Contrastive,
    Convolutional,
    GlobalAveragePool,
    Reorg,
    Route,
    Sam,
    ScaleChannels,
)
from yolov4.network.network import Network
from yolov4.network.weights import Array, conv_shapes
from yolov4.train.forward import initial

NETWORKS = {
    "yolov4": yolov4(96, 64, 3, 0.1),
    "tiny": yolov4_tiny(64, 96, 5, 0.25),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cfg_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    write_cfg(tmp_path / "net.cfg", NETWORKS[name])
    assert read_cfg(tmp_path / "net.cfg") == NETWORKS[name]


def test_every_kind_of_layer_is_read_back_as_it_was(tmp_path: Path) -> None:
    network = read_cfg(write_random_model(tmp_path)[0])
    write_cfg(tmp_path / "again.cfg", network)
    assert read_cfg(tmp_path / "again.cfg") == network


def test_every_other_section_is_read_back_as_it_was(tmp_path: Path) -> None:
    tail = (Convolutional(24, 1), GaussianYolo(((3.5, 4), (5, 6)), 3, 1.1, "left_top"))
    yolo_v2 = (Convolutional(16, 1), Region(((0.57, 0.68), (1.5, 2)), 3))
    layers = (
        Convolutional(8, 3, padding=1, dilation=2, activation="relu6"),
        AveragePool(4, (4, 4), 3),
        Reorg(2, interleaved=True),
        Reorg(2, interleaved=False),
        GlobalAveragePool(),
        Convolutional(128, 1, activation="logistic"),
        ScaleChannels(3, "relu"),
        Convolutional(1, 1),
        ScaleChannels(6, scale_wh=True),
        Convolutional(128, 1),
        Sam(8, "hard_mish"),
        Contrastive(),
        *tail,
        Route((10,)),
        *yolo_v2,
    )
    for beta in (0.6, 0.75, None):
        network = Network(96, 64, 1, layers, letter_box=True, nms_beta=beta)
        write_cfg(tmp_path / "net.cfg", network)
        # A [region] ends the file, and Darknet asks the last head which NMS to use.
        assert read_cfg(tmp_path / "net.cfg") == replace(network, nms_beta=None)
        network = replace(network, layers=layers[:-3])
        write_cfg(tmp_path / "net.cfg", network)
        assert read_cfg(tmp_path / "net.cfg") == network


def test_weights_are_written_as_they_were_read(tmp_path: Path) -> None:
    cfg, weights, _ = write_random_model(tmp_path)
    network = read_cfg(cfg)
    write_weights(tmp_path / "again.weights", network, read_vector(weights, network), seen=0)
    assert (tmp_path / "again.weights").read_bytes() == weights.read_bytes()


def test_names_and_the_count_of_pictures_are_written(tmp_path: Path) -> None:
    network = NETWORKS["tiny"]
    names = ["a", "b", "c", "d", "traffic light"]
    files = write_model(tmp_path / "new", "n", network, initial(network, 0), names, seen=2**33)
    assert read_names(files[2], 5) == names
    assert np.frombuffer(files[1].read_bytes(), "<i8", 1, offset=12) == 2**33
    assert len(read_weights(files[1], network)) == len(conv_shapes(network))


@pytest.mark.parametrize("name", NETWORKS)
def test_opencv_reads_the_pair_and_finds_the_same_heads(name: str, tmp_path: Path) -> None:
    import tensorflow as tf

    from yolov4.graph.body import body

    network = NETWORKS[name]
    pictures = np.random.default_rng(1).random((4, network.height, network.width, 3), np.float32)
    vector = _lively(network, pictures)
    cfg, weights, _ = write_model(tmp_path, "n", network, vector, list("abcde"), seen=1)
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    net.setInput(pictures[:1].transpose(0, 3, 1, 2).copy())
    before = [i - 1 for i, layer in enumerate(network.layers) if isinstance(layer, Yolo)]
    theirs = net.forward([f"conv_{i}" for i in before])
    ours = body(network, read_weights(weights, network), tf.constant(pictures[:1]))
    assert len(theirs) == len(ours) > 1
    for found, expected in zip(ours, theirs, strict=True):
        expected = expected.transpose(0, 2, 3, 1)
        assert expected.std() > 0.01
        # OpenCV adds 1e-6 to a variance where Darknet adds 1e-5; that grows over 110 layers.
        assert np.abs(found - expected).max() < 5e-3 * np.abs(expected).max()


def _lively(network: Network, pictures: Array) -> Array:
    """Numbers none of which does nothing, with the statistics that these pictures have."""
    import tensorflow as tf

    from yolov4.train.forward import forward, parts

    rng = np.random.default_rng(0)
    vector = initial(network, 0)
    vector += np.where(parts(network).kernel, 0.0, 0.1 * rng.normal(size=len(vector)))
    _, measured = forward(network, tf.constant(vector), tf.constant(pictures))
    return np.where(parts(network).statistic, measured, vector).astype(np.float32)
