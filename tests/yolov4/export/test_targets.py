"""What each target's artefact is; inf1's with a double of tensorflow-neuron on TensorFlow 2.10."""

import json
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
from tests.yolov4.export.test_tf210 import OLD_PYTHON, old_python
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_weights
from yolov4.demo.scenes import write_scenes
from yolov4.errors import ModelError
from yolov4.export.neuron import _only_program, plain_body
from yolov4.export.targets import TARGETS, choose_precision
from yolov4.graph.body import body
from yolov4.load import COCO_NAMES, load_model
from yolov4.network.weights import ConvWeights
from yolov4.verify.compare import Report, differ, verify

Files = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(range(3), folder, processes=1)
    return sorted(folder.glob("*.jpg"))


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


def small(tmp_path: Path, cfg: str = SMALL_CFG) -> tuple[Any, list[ConvWeights], Any]:
    """A network, its weights, and two pictures: float32 [2, height, width, 3]."""
    files = write_model(tmp_path, cfg)
    network = read_cfg(files[0])
    pixels = np.random.default_rng(0).random((2, network.height, network.width, 3), np.float32)
    return network, read_weights(files[1], network), tf.constant(pixels)


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
    assert "on the chip: 39 of 372 operations" in done.stdout
    assert "in one program" in done.stdout
    version = tmp_path / "repository" / "small" / "1"
    dtype = {"fp16": "float16", "bf16": "bfloat16"}[precision]
    wanted = {"target": "inf1", "precision": dtype, "batch_size": 1, "chip_operations": 39}
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


# Both networks of the paper with weights of zero: what operations they become, and how many pieces.
PIECES = """
import json
import numpy as np, tensorflow as tf
from tests.support.oracles.neuron_partition import segments
from yolov4.network.architecture import BUILT_IN
from yolov4.export.neuron import plain_body
from yolov4.network.weights import ConvWeights, conv_shapes
found = {}
for name, build in BUILT_IN.items():
    network = build(classes=80).resized(64, 64)
    zeros = [ConvWeights(np.zeros(s.kernel, np.float32), np.zeros(s.kernel[3], np.float32))
             for s in conv_shapes(network)]
    image = tf.TensorSpec([1, 64, 64, 3], tf.float16)
    traced = tf.function(lambda image: plain_body(network, zeros, image), autograph=False)
    graph = traced.get_concrete_function(image).graph.as_graph_def(add_shapes=True)
    found[name] = sorted({n.op for n in graph.node}), len(segments(graph))
print(json.dumps(found))
"""


def test_the_papers_networks_are_one_piece_of_known_operations() -> None:
    known = old_python(
        "-c", "from tests.support.oracles.neuron_partition import SUPPORTED; print(*SUPPORTED)"
    ).split()
    for operations, pieces in json.loads(old_python("-c", PIECES)).values():
        assert {"Conv2D", "LeakyRelu", "Tile"} <= set(operations) <= {*known, "Placeholder"}
        assert pieces == 1


def test_the_double_knows_what_tensorflow_neuron_knows(data: Path) -> None:
    known = old_python(
        "-c", "from tests.support.oracles.neuron_partition import SUPPORTED; print(*SUPPORTED)"
    ).split()
    assert sorted(known) == sorted((data / "neuron-tf2-supported-ops.txt").read_text().split())


# Three convolutions, the middle one followed by something no NeuronCore knows, with and without a
# way around it: the rules of the double itself.
RULES = """
import tensorflow as tf
from tests.support.oracles.neuron_partition import segments
def pieces(func):
    made = tf.function(func, autograph=False).get_concrete_function(tf.TensorSpec([1, 8, 8, 4]))
    return sorted(map(len, segments(made.graph.as_graph_def(add_shapes=True))))
def conv(x): return tf.nn.conv2d(x, tf.ones([1, 1, 4, 4]), 1, "SAME")
many = lambda x, n: x if n == 0 else many(tf.nn.relu(x), n - 1)
print(pieces(lambda x: conv(conv(x))))
print(pieces(lambda x: conv(tf.floor(conv(x)))))
print(pieces(lambda x: conv(tf.floor(conv(x)) + conv(x))))
print(pieces(lambda x: tf.nn.relu(tf.floor(conv(x)))))
print(pieces(lambda x: many(conv(tf.floor(conv(x))), 40)))
"""


def test_the_double_splits_where_segmenting_does() -> None:
    one, cut, around, cheap, small = map(json.loads, old_python("-c", RULES).splitlines())
    assert len(one) == 1
    assert len(cut) == 2
    assert len(around) == 2  # joining both would make a circle through the host
    assert len(cheap) == 1  # a piece without a convolution is not worth it
    assert len(small) == 1  # nor is one that is far smaller than another
    assert small[0] > 40


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
