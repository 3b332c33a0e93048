"""Exports for a target, and what is in their artefacts."""

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from tests.support.inputs.yolov4_models import SMALL_CFG, export_arguments, write_model
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.load import load_model
from yolov4.network.weights import ConvWeights
from yolov4.verify.compare import Report, verify

Files = tuple[Path, Path, Path]


def target_arguments(files: Files, repository: Path, target: str, *more: str) -> list[str]:
    model = export_arguments(files, repository)
    return [*model, "--target", target, "--precision", "auto", *more]


def compared(files: Files, version: Path, pictures: list[Path]) -> Report:
    cfg, weights, names = files
    return verify(load_model(str(cfg), weights, names), version, pictures)


def about(version: Path) -> Any:
    return json.loads((version / "assets.extra" / "model.json").read_text())


def warmed_up(version: Path) -> list[int]:
    """How often the picture is in each warm-up request: the only JPEGs there are."""
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    return [r.numpy().count(b"\xff\xd8\xff") for r in tf.data.TFRecordDataset(str(path))]


def small(tmp_path: Path, cfg: str = SMALL_CFG) -> tuple[Any, list[ConvWeights], Any]:
    """A network, its weights, and two pictures: float32 [2, height, width, 3]."""
    files = write_model(tmp_path, cfg)
    network = read_cfg(files[0])
    pixels = np.random.default_rng(0).random((2, network.height, network.width, 3), np.float32)
    return network, read_weights(files[1], network), tf.constant(pixels)
