"""Inf1's second way: TensorFlow 1.15 loads what is exported for it, and a double compiles it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.support.inputs.official import NAME, SAMPLES, Official
from tests.support.inputs.yolov4_models import export_arguments, load, write_model
from tests.support.project import ROOT
from yolov4.__main__ import main
from yolov4.export.neuron_tf1 import PROGRAM, PYTHON
from yolov4.load import COCO_NAMES

PYTHON37 = ROOT / ".venv37" / "bin" / "python"
DOUBLE = ROOT / "tests" / "support" / "oracles" / "neuron_tf1_double.py"

# Loads a SavedModel and saves what it finds in pictures; run by TensorFlow 1.15.
PREDICT = """
import sys
import numpy as np, tensorflow as tf
version, answer, *pictures = sys.argv[1:]
assert tf.__version__ == "1.15.5"
with tf.Session(graph=tf.Graph()) as session:
    signatures = tf.saved_model.loader.load(session, ["serve"], version).signature_def
    signature = signatures["serving_default"]
    outputs = {key: info.name for key, info in signature.outputs.items()}
    images = [open(picture, "rb").read() for picture in pictures]
    found = session.run(outputs, {signature.inputs["image"].name: images})
    names = session.run(signatures["metadata"].outputs["class_names"].name,
                        {signatures["metadata"].inputs["rows"].name: [b""]})
np.savez(answer, class_names=names, **found)
"""


@pytest.fixture
def neuron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python 3.7 with the double, in the variable that names it."""
    if not PYTHON37.exists():
        pytest.skip("needs .venv37: run `make venv37`")
    python = tmp_path / "python-with-double"
    python.write_text(f'#!/bin/sh\nexec {PYTHON37} {DOUBLE} "$@" 2>&1\n')
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON, str(python))
    return python


def whole(compiled: Path, folder: Path) -> Path:
    """Write the SavedModel with the operations of its program in the place of the NeuronOp."""
    saved = SavedModel.FromString((compiled / "saved_model.pb").read_bytes())
    graph_def = saved.meta_graphs[0].graph_def
    (program,) = (node for node in graph_def.node if node.op == "NeuronOp")
    inside = GraphDef.FromString(program.attr["graph_def"].s)
    outputs = [name.decode().split(":")[0] for name in program.attr["output_names"].list.s]
    renamed = {
        f"{program.name}:{index}" if index else program.name: name
        for index, name in enumerate(outputs)
    }
    graph_def.node.remove(program)
    graph_def.node.extend(node for node in inside.node if node.op != "Placeholder")
    for node in graph_def.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.attr.pop("_output_shapes", None)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


def by_tf115(version: Path, answer: Path, pictures: list[Path]) -> dict[str, Any]:
    command = [str(PYTHON37), "-c", PREDICT, str(version), str(answer), *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(np.load(answer, allow_pickle=True))


def agree(found: dict[str, Any], wanted: dict[str, Any], threshold: float) -> None:
    """The detections above a threshold, in pictures of a batch, are the same."""
    for number, scores in enumerate(wanted["scores"]):
        shown = int((scores > threshold).sum())
        assert shown > 0
        assert (found["scores"][number] > threshold).sum() == shown
        for key, tolerance in {"scores": 0.01, "boxes": 2.0}.items():
            np.testing.assert_allclose(
                found[key][number][:shown], wanted[key][number][:shown], rtol=0, atol=tolerance
            )
        found_labels = found["labels"][number][:shown].tolist()
        assert found_labels == wanted["labels"][number][:shown].tolist()


@pytest.mark.slow
def test_one_program_with_16_bits_in_and_out(neuron: Path, tmp_path: Path) -> None:
    files = write_model(tmp_path)
    arguments = [*export_arguments(files, tmp_path / "made"), "--target", "inf1-tf1"]
    assert main([*arguments, "--precision", "fp16", "--batch-size", "2"]) == 0
    version = tmp_path / "made" / "small" / "1"
    about = json.loads((version / "assets.extra" / "model.json").read_text())
    wanted = {"target": "inf1-tf1", "precision": "float16", "batch_size": 2, "chip_operations": 39}
    assert about.items() >= wanted.items()
    assert {path.name for path in version.iterdir()} == {
        *("assets.extra", "saved_model.pb", "variables")
    }
    saved = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    assert set(graph.signature_def) == {"serving_default", "metadata"}
    (program,) = (node for node in graph.graph_def.node if node.op == "NeuronOp")
    assert list(program.input) == ["body/input"]
    half = 19  # DT_HALF
    assert list(program.attr["input_dtypes"].list.type) == [half]
    assert list(program.attr["output_dtypes"].list.type) == [half, half]
    assert not graph.graph_def.library.function  # loops are TensorFlow 1's
    inside = GraphDef.FromString(program.attr["graph_def"].s).node
    assert "ResizeNearestNeighbor" in {node.op for node in inside}
    assert all(n.name.startswith(PROGRAM) for n in inside if n.op != "Placeholder")


@pytest.mark.slow
def test_a_network_in_two_pieces_is_refused(
    neuron: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOUBLE_WITHOUT", "Conv2D")
    arguments = [*export_arguments(write_model(tmp_path), tmp_path / "made"), "--precision", "fp16"]
    assert main([*arguments, "--target", "inf1-tf1"]) == 2
    said = capfd.readouterr().err
    assert "error: the network did not become one program" in said
    assert "convolutional_0/Conv2D" in said
    assert not (tmp_path / "made").exists()


def test_a_compiler_that_fails_is_reported(
    neuron: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    neuron.write_text('#!/bin/sh\ntest "$2" = --check || { echo bad_alloc; exit 1; }\n')
    arguments = [*export_arguments(write_model(tmp_path), tmp_path / "made"), "--precision", "fp16"]
    assert main([*arguments, "--target", "inf1-tf1"]) == 2
    said = capfd.readouterr()
    assert "bad_alloc" in said.out
    assert "error: TensorFlow 1.15 could not compile the network" in said.err
    assert not (tmp_path / "made").exists()


def test_without_its_python_the_target_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PYTHON, str(tmp_path / "nothing"))
    arguments = [*export_arguments(write_model(tmp_path), tmp_path / "made"), "--precision", "fp16"]
    assert main([*arguments, "--target", "inf1-tf1"]) == 2
    said = capsys.readouterr().err
    assert "error: target inf1-tf1 needs tensorflow-neuron[cc]==1.15.5.2.9.3.0" in said
    assert "No such file or directory" in said
    assert "TARGET=inf1 NEURON_TENSORFLOW=1.15 docker compose run" in said
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "fp16"])
def test_tensorflow_1_detects_what_todays_does(
    precision: str, neuron: Path, official: Official, coco_repository: Path, tmp_path: Path
) -> None:
    wanted = load(coco_repository / NAME / "1")([path.read_bytes() for path in SAMPLES])
    files = official.cfg, official.weights, COCO_NAMES
    arguments = [*export_arguments(files, tmp_path / "chip"), "--precision", precision]
    assert main([*arguments, "--target", "inf1-tf1"]) == 0
    version = whole(tmp_path / "chip" / "small" / "1", tmp_path / "whole")
    found = by_tf115(version, tmp_path / "answer.npz", SAMPLES)
    agree(found, wanted, threshold=0.1)
    assert found["class_names"].shape == (1, 80)
    if precision == "f32":
        assert found["num_detections"].tolist() == wanted["num_detections"].tolist()
        np.testing.assert_allclose(found["scores"], wanted["scores"], rtol=1e-3, atol=1e-4)
