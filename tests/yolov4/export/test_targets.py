"""What each target's precisions are, and g4's artefact."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from tests.support.inputs.yolov4_models import SMALL_CFG, write_model
from tests.yolov4.export.artefacts import about, compared, small, target_arguments, warmed_up
from yolov4.__main__ import main
from yolov4.errors import ModelError
from yolov4.export.targets import TARGETS, choose_precision
from yolov4.graph.body import body
from yolov4.network.weights import ConvWeights
from yolov4.verify.compare import differ


@pytest.mark.parametrize(
    ("target", "wanted", "found"),
    [
        ("g4", "auto", "fp16"),
        ("g4", "f32", "f32"),
        ("inf1", "auto", "fp16"),
        ("inf1", "bf16", "bf16"),
    ],
)
def test_a_target_has_its_precisions(target: str, wanted: str, found: str) -> None:
    assert choose_precision(target, wanted) == found


def test_an_unsupported_precision_is_reported_in_one_line() -> None:
    with pytest.raises(ModelError, match="--precision bf16: target g4 knows fp16 and f32"):
        choose_precision("g4", "bf16")
    assert choose_precision("cpu") in TARGETS["cpu"].precisions


def test_g4_is_float16_and_warm_for_every_batch_size(tmp_path: Path, scenes: list[Path]) -> None:
    files = write_model(tmp_path)
    assert main(target_arguments(files, tmp_path, "g4")) == 0
    version = tmp_path / "small" / "1"
    assert about(version).items() >= {"target": "g4", "precision": "float16"}.items()
    assert warmed_up(version) == [1, 2, 4, 8]
    report = compared(files, version, scenes)
    assert 0 < np.max(report.heads) < 0.005
    assert report.found > 0.95 * report.shown > 0  # of noise; see the VOC model below
    assert np.mean(report.ious) > 0.99


def test_g4_takes_other_batch_sizes(tmp_path: Path) -> None:
    files = write_model(tmp_path)
    assert main(target_arguments(files, tmp_path, "g4", "--warm-up", "1,3")) == 0
    assert warmed_up(tmp_path / "small" / "1") == [1, 3]


def test_xla_compiles_the_float16_body(tmp_path: Path) -> None:
    network, weights, pixels = small(tmp_path)
    compiled = tf.function(
        lambda image: body(network, weights, image, "float16"), jit_compile=True, autograph=False
    )
    for head, wanted in zip(compiled(pixels), body(network, weights, pixels), strict=True):
        assert head.dtype == tf.float32
        assert 0 < differ(wanted.numpy(), head.numpy()) < 0.005


def test_a_shortcut_with_mish_stays_finite_in_float16(tmp_path: Path) -> None:
    network, weights, pixels = small(
        tmp_path, SMALL_CFG.replace("from=-2\nactivation=leaky", "from=-2\nactivation=mish")
    )
    weights[2] = ConvWeights(weights[2].kernel, weights[2].bias + 20)  # what the shortcut adds
    heads = zip(
        body(network, weights, pixels, "float16"), body(network, weights, pixels), strict=True
    )
    assert all(differ(wanted.numpy(), head.numpy()) < 0.005 for head, wanted in heads)


def test_a_weight_beyond_float16_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_model(tmp_path)
    numbers = np.fromfile(files[1], "<f4")
    numbers[5] = 1e6  # the first bias
    numbers.tofile(files[1])
    assert main(target_arguments(files, tmp_path / "repository", "g4")) == 2
    said = capsys.readouterr().err
    assert "error: layer 0 has a weight of 1e+06, and float16 ends at 65504" in said
    assert not (tmp_path / "repository").exists()
