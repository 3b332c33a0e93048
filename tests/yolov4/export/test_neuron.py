"""Inf1's artefact, with a double of tensorflow-neuron on TensorFlow 2.10."""

import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
import tensorflow as tf

from tests.support.inputs.official import SAMPLES, Official
from tests.support.inputs.yolov4_models import SMALL_CFG, export_arguments, load, write_model
from tests.support.project import ROOT
from tests.yolov4.export.artefacts import Files, about, compared, small, target_arguments, warmed_up
from tests.yolov4.export.test_tf210 import OLD_PYTHON, old_python
from yolov4.__main__ import main
from yolov4.errors import ModelError
from yolov4.export.neuron import _only_program, plain_body
from yolov4.graph.body import body
from yolov4.load import COCO_NAMES
from yolov4.verify.compare import differ


def test_batch_size_is_for_inf1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*export_arguments(write_model(tmp_path), tmp_path), "--batch-size", "2"]) == 2
    assert "error: --batch-size is for target inf1" in capsys.readouterr().err


def test_without_tensorflow_neuron_inf1_says_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(target_arguments(write_model(tmp_path), tmp_path / "repository", "inf1")) == 2
    said = capsys.readouterr().err
    assert "error: target inf1 needs tensorflow-neuron[cc]==2.10.1.2.12.2.0" in said
    assert "TARGET=inf1 docker compose run --rm --build compile" in said
    assert not (tmp_path / "repository").exists()


def compiled_by_the_double(
    tmp_path: Path, files: Files, *more: str, status: int = 0, flags: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Export for inf1 with the double and a `neuron-cc` that does nothing but end with `status`."""
    if not OLD_PYTHON.exists():
        pytest.skip("needs .venv310: run `make venv310`")
    compiler = tmp_path / "neuron-cc"
    compiler.write_text(f"#!/bin/sh\nexit {status}\n")
    compiler.chmod(0o755)
    return subprocess.run(
        [
            *(OLD_PYTHON, "-m", "tests.support.oracles.neuron_double"),
            *target_arguments(files, tmp_path / "repository", "inf1", *more),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "NEURON_CC_FLAGS": flags,
        },
    )


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.005), ("bf16", 0.05)])
def test_inf1_end_to_end(tmp_path: Path, scenes: list[Path], precision: str, bound: float) -> None:
    files = write_model(tmp_path)
    done = compiled_by_the_double(tmp_path, files, "--precision", precision)
    assert done.returncode == 0, done.stderr
    assert "on the chip: 41 of 378 operations" in done.stdout
    assert "in one program" in done.stdout
    version = tmp_path / "repository" / "small" / "1"
    dtype = {"fp16": "float16", "bf16": "bfloat16"}[precision]
    wanted = {"target": "inf1", "precision": dtype, "batch_size": 1, "chip_operations": 41}
    assert about(version).items() >= wanted.items()
    assert warmed_up(version) == [1, 4]

    # With 16 bits in and out: what crosses the bus.
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(version))
        (program,) = (op for op in graph.get_operations() if op.type == "NeuronOp")
    assert {t.dtype.name for t in (*program.inputs, *program.outputs)} == {dtype}
    assert [t.shape[1:].as_list() for t in program.outputs] == [[8, 12, 24], [16, 24, 24]]

    # Today's TensorFlow reads it as the model server does, in batches of any size.
    report = compared(files, version, scenes)
    assert 0 < np.max(report.heads) < bound
    assert report.found > 0.9 * report.shown > 0
    pictures = [path.read_bytes() for path in scenes]
    together = load(version)(pictures)
    assert set(together) == {"boxes", "scores", "classes", "labels", "num_detections"}
    for number, picture in enumerate(pictures):
        alone = load(version)([picture])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][number], atol=bound)


def test_flags_of_the_caller_reach_the_compiler_too(tmp_path: Path) -> None:
    done = compiled_by_the_double(tmp_path, write_model(tmp_path), flags="--verbose=nothing-known")
    assert done.returncode != 0
    assert "--verbose" in done.stderr


def test_a_failing_compiler_is_reported_in_one_line(tmp_path: Path) -> None:
    done = compiled_by_the_double(tmp_path, write_model(tmp_path), status=1)
    assert done.returncode == 2, done.stderr
    assert "error: neuron-cc has compiled nothing" in done.stderr
    assert not (tmp_path / "repository").exists()


def test_a_network_that_would_be_split_is_refused_by_name(tmp_path: Path) -> None:
    # Padded before and not behind, which SAME never is, and so a PadV2.
    cfg = SMALL_CFG.replace("size=2\nstride=2", "size=3\nstride=2\npadding=2")
    done = compiled_by_the_double(tmp_path, write_model(tmp_path, cfg))
    assert done.returncode == 2, done.stderr
    assert "error: the network would be split" in done.stderr
    assert "maxpool_5/PadV2 (PadV2)" in done.stderr
    assert not (tmp_path / "repository").exists()


def operation(kind: str, name: str = "") -> Any:
    return SimpleNamespace(type=kind, name=name or kind, get_attr=lambda key: b"NEFF")


def test_all_convolutions_must_be_in_one_program() -> None:
    program, pad = operation("NeuronOp"), operation("Pad", "convolutional_0/Pad")
    assert _only_program([operation("Placeholder"), pad, program, operation("IdentityN")]) == [pad]
    foreign = operation("PadV2", "maxpool_5/PadV2")
    with pytest.raises(ModelError, match=r"programs: 2 .*host: maxpool_5/PadV2 \(PadV2\)"):
        _only_program([program, foreign, program])
    with pytest.raises(ModelError, match=r"programs: 1 .*, convolutional_9/Conv2D \(Conv2D\)"):
        _only_program([program, foreign, operation("Conv2D", "convolutional_9/Conv2D")])


def test_the_plain_body_is_the_body(tmp_path: Path) -> None:
    network, weights, pixels = small(tmp_path)
    heads = plain_body(network, weights, tf.cast(pixels, tf.float16))
    for head, wanted in zip(heads, body(network, weights, pixels), strict=True):
        assert head.dtype == tf.float16
        assert 0 < differ(wanted.numpy(), head.numpy()) < 0.005


@pytest.mark.slow
def test_the_official_model_detects_in_float16_what_it_detects_in_float32(
    official: Official, tmp_path: Path
) -> None:
    files = official.cfg, official.weights, COCO_NAMES
    assert main(target_arguments(files, tmp_path, "g4")) == 0
    report = compared(files, tmp_path / "small" / "1", SAMPLES)
    assert np.max(report.heads) < 0.01
    assert report.found == report.shown == 6
    assert min(report.ious) > 0.99
    assert max(report.scores) < 0.005

    # Inf1's program, calculated by TensorFlow 2.10 on this CPU.
    done = compiled_by_the_double(tmp_path, files)
    assert done.returncode == 0, done.stderr
    version = str(tmp_path / "repository" / "small" / "1")
    model = [f"--cfg={files[0]}", f"--weights={files[1]}", f"--names={files[2]}"]
    said = old_python("-m", "yolov4", "verify", version, *model, "--images", str(SAMPLES[0].parent))
    assert "6 of 6 found again" in said
    shares = re.search(r"heads: at most ([\d.]+)%, ([\d.]+)%", said)
    worst = re.search(r"IoU .* at worst ([\d.]+); score off by .* at worst ([\d.]+)", said)
    assert shares
    assert max(map(float, shares.groups())) < 1
    assert worst
    assert float(worst[1]) > 0.99
    assert float(worst[2]) < 0.005
