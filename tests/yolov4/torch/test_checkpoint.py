"""Checkpoints give the weights of the Darknet file with the same numbers."""

import base64
import zlib
from collections import OrderedDict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inputs.torch_files import BEFORE_1_6, TWO, ZIP, save
from tests.support.inputs.torch_state_dicts import Model, Tensors, small
from tests.yolov4.torch.weights import assert_same
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.network.weights import ConvWeights
from yolov4.torch.checkpoint import read_checkpoint


def distinct(weights: list[ConvWeights]) -> bool:
    return all(
        a.kernel.shape != b.kernel.shape or not np.allclose(a.kernel, b.kernel)
        for a, b in combinations(weights, 2)
    )


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_a_state_dict_gives_the_weights_of_the_darknet_file(
    tmp_path: Path, model: Model, old: bool
) -> None:
    assert distinct(model.wanted)
    path = save(tmp_path / "some.pth", OrderedDict(model.tensors), old)
    assert_same(read_checkpoint(path, model.network), model.wanted)


def parallel(tensors: Tensors) -> Any:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def uncounted(tensors: Tensors) -> Any:
    return {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}


def published(tensors: Tensors) -> Any:
    return {name.replace("neck", "neek"): tensor for name, tensor in tensors.items()}


def wrapped(tensors: Tensors) -> Any:
    momentum = {0: {"step": 7, "exp_avg": np.zeros(9, np.float32)}}
    return {"epoch": 3, "state_dict": parallel(tensors), "optimizer": {"state": momentum}}


def double(tensors: Tensors) -> Any:
    return {name: tensor.astype(np.float64) for name, tensor in tensors.items() if tensor.ndim}


def one_storage(tensors: Tensors) -> Any:
    floats = np.concatenate([t.ravel() for t in tensors.values() if t.ndim])
    ends = np.cumsum([t.size for t in tensors.values() if t.ndim])
    pairs = zip(((n, t) for n, t in tensors.items() if t.ndim), ends, strict=True)
    return {n: np.ndarray(t.shape, "<f4", floats, 4 * (end - t.size)) for (n, t), end in pairs}


def channels_last(tensors: Tensors) -> Any:
    def turn(t: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(t.transpose(0, 2, 3, 1)).ravel()
        _, c, h, w = t.shape
        return np.ndarray(t.shape, "<f4", flat, 0, (4 * c * h * w, 4, 4 * c * w, 4 * c))

    return {name: turn(t) if t.ndim == 4 else t for name, t in tensors.items()}


@pytest.mark.parametrize(
    "transform", [parallel, uncounted, published, wrapped, double, one_storage, channels_last]
)
def test_other_forms_of_the_same_state_dict(
    tmp_path: Path, model: Model, transform: Callable[[Tensors], Any]
) -> None:
    path = save(tmp_path / "some.pth", transform(model.tensors))
    assert_same(read_checkpoint(path, model.network), model.wanted)


def test_float16_costs_only_its_rounding(tmp_path: Path, model: Model) -> None:
    half = {n: t.astype(np.float16) if t.ndim else t for n, t in model.tensors.items()}
    path = save(tmp_path / "half.pth", half)
    assert_same(read_checkpoint(path, model.network), model.wanted, rtol=2e-3)


def test_any_cfg_that_the_repository_itself_took_from_darknet(tmp_path: Path) -> None:
    cfg, weights, tensors = small(tmp_path)
    path = save(tmp_path / "small.pth", tensors)
    network = read_cfg(cfg)
    assert_same(read_checkpoint(path, network), read_weights(weights, network))


def test_export_takes_a_pth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, tensors = small(tmp_path)
    path = save(tmp_path / "small.PTH", tensors)
    arguments = ["export", "--name", "small", "--cfg", str(cfg), "--weights", str(path)]
    arguments += ["--names", str(tmp_path / "small.names"), "--repository", str(tmp_path / "r")]
    assert main(arguments) == 0
    assert (tmp_path / "r" / "small" / "1" / "saved_model.pb").exists()
    path.write_bytes(weights.read_bytes())
    assert main(arguments) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"error: {path} is not a PyTorch checkpoint, or is damaged: ")


def test_files_that_pytorch_itself_wrote_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.pth").write_bytes(zlib.decompress(base64.b85decode(BEFORE_1_6)))
    (tmp_path / "new.pth").write_bytes(zlib.decompress(base64.b85decode(ZIP)))
    for name in ("old.pth", "new.pth"):
        first, second = read_checkpoint(tmp_path / name, TWO)
        # The numbers count on: kernel 1 to 6, gamma 7 8, beta 9 10, mean 11 12, variance 13 14.
        scale = np.array([7, 8]) / np.sqrt(np.array([13, 14]) + 1e-5)
        kernel = np.arange(1, 7).reshape(2, 3).T * scale
        np.testing.assert_allclose(first.kernel, kernel[None, None], rtol=1e-6)
        np.testing.assert_allclose(first.bias, [9, 10] - np.array([11, 12]) * scale, rtol=1e-6)
        np.testing.assert_array_equal(second.kernel, np.arange(15, 31).reshape(8, 2).T[None, None])
        np.testing.assert_array_equal(second.bias, np.arange(31, 39))
