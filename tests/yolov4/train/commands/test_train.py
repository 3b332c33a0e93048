"""`python -m yolov4 train` as a user runs it: its files, other options, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.yolov4.train.commands.command import arguments
from tests.yolov4.train.small import START
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_vector
from yolov4.darknet.writer import write_cfg
from yolov4.network.weights import conv_shapes
from yolov4.train.checkpoint import Validated
from yolov4.train.forward import initial
from yolov4.train.transfer import starting_vector
from yolov4.train.validation import Validation


def test_what_it_writes_can_be_exported(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(scenes, tmp_path, 2, "--class", "key", "--class", "fish")) == 0
    assert "python -m yolov4 export" in capsys.readouterr().err
    assert read_names(tmp_path / "n.names") == ["fish", "key"]
    files = [f"--{part}={tmp_path / 'n'}.{part}" for part in ("cfg", "weights", "names")]
    assert main(["export", "--name", "n", *files, "--repository", str(tmp_path / "models")]) == 0
    about = json.loads((tmp_path / "models/n/1/assets.extra/model.json").read_text())
    assert about["classes"] == 2


def test_what_was_learnt_is_kept(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--weights", str(scenes / "start.weights"), "--names", str(scenes / "start.names")]
    assert main(arguments(scenes, tmp_path, 1, "--class", "key", "--class", "fish", *start)) == 0
    assert ": class scores of fish start from scratch" in capsys.readouterr().err


def test_partial_weights_are_a_start(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first layers as `darknet partial` writes them, for a network with other classes."""
    shapes = conv_shapes(START)
    assert [shape.layer for shape in shapes[16:18]] == [28, 29]  # as in yolov4-tiny.conv.29
    size = 20 + 4 * sum(shape.floats for shape in shapes[:17])
    part = tmp_path / "start.conv.29"
    part.write_bytes((scenes / "start.weights").read_bytes()[:size])
    vector, layers = starting_vector(part, START, seed=2)
    assert layers == 29
    count = (size - 20) // 4
    np.testing.assert_array_equal(vector[:count], initial(START, 1)[:count])
    np.testing.assert_array_equal(vector[count:], initial(START, 2)[count:])

    assert main(arguments(scenes, tmp_path, 1, "--class", "fish", "--weights", str(part))) == 0
    assert "start.conv.29: 0 to 28; the others start from scratch" in capsys.readouterr().err
    files = ["--cfg", str(scenes / "start.cfg"), "--weights", str(part)]
    files += ["--names", str(scenes / "start.names"), "--repository", str(tmp_path / "models")]
    assert main(["export", "--name", "n", *files]) == 2
    assert "ends with layer 28" in capsys.readouterr().err


def test_the_best_weights_are_written_and_the_page_says_which(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aps = iter([0.1, 0.4, 0.9, 0.2])
    seen: list[np.ndarray] = []

    def validated(self: Validation, vector: Any, step: int) -> Validated:
        seen.append(np.asarray(vector))
        return Validated(step, next(aps), 0.95, {"key": (0.9, 0.95)})

    monkeypatch.setattr(Validation, "__call__", validated)
    assert main([*arguments(scenes, tmp_path, 3), "--validation=0.2"]) == 0
    written = read_vector(tmp_path / "n.weights", read_cfg(tmp_path / "n.cfg"))
    np.testing.assert_array_equal(written, seen[2])
    assert (seen[2] != seen[3]).any()
    page = (tmp_path / "n.html").read_text()
    assert "those after step 2, with the highest AP" in page
    assert "0.900 (AP50 0.950)" in page


def test_classes_without_examples_are_named(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((scenes / "instances.json").read_text())
    content["categories"].append({"id": 99, "name": "unicorn"})
    path = tmp_path / "more.json"
    path.write_text(json.dumps(content))
    command = [*arguments(scenes, tmp_path, 1), "--data", str(path), "--class", "key"]
    assert main([*command, "--class", "unicorn"]) == 0
    text = capsys.readouterr().err
    assert "warning: the training pictures show no unicorn: they cannot be learned" in text
    assert 'class="none">none' in (tmp_path / "n.html").read_text()


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--steps=0", "--steps and --batch must be at least 1"),
        ("--batch=0", "--steps and --batch must be at least 1"),
        ("--rate=0", "--steps and --batch must be at least 1"),
        ("--validation=1", "--validation must be at least 0, and below 1"),
        ("--val-images=here", "--val-images needs --val-annotations"),
    ],
)
def test_senseless_options_are_refused(
    option: str, reason: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(scenes, tmp_path, 1), option]) == 2
    assert f"error: {reason}" in capsys.readouterr().err


def test_a_cfg_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cfg(tmp_path / "start.cfg", START)
    assert main(arguments(tmp_path, tmp_path, 1)) == 2
    assert "instances.json" in capsys.readouterr().err
