"""`--precision int8`: what it needs, and what its artefact answers."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.support.inputs.official import NAME, SAMPLES, Official
from tests.support.inputs.yolov4_models import TINY_CFG, load, write_model
from tests.yolov4.export.artefacts import about, compared, target_arguments
from yolov4.__main__ import main
from yolov4.errors import ModelError
from yolov4.export.calibration import largest_outputs
from yolov4.export.targets import artefact
from yolov4.load import load_model
from yolov4.verify.compare import verify

USAGE = "--precision int8 needs --calibration-images, a folder of pictures, and no other precision"


def test_an_export_in_8_bits_finds_what_float32_finds(tmp_path: Path, scenes: list[Path]) -> None:
    files = write_model(tmp_path, TINY_CFG)
    folder = str(scenes[0].parent)
    more = ["--precision", "int8", "--calibration-images", folder]
    assert main(target_arguments(files, tmp_path, "cpu", *more)) == 0
    version = tmp_path / "small" / "1"
    assert about(version)["precision"] == "int8"
    assert about(version)["calibration_images"] == len(scenes)
    report = compared(files, version, scenes)
    assert np.max(report.heads) > 0
    assert report.found > 0.8 * report.shown > 0  # of noise; the official model below
    predict = load(version)
    pictures = [path.read_bytes() for path in scenes[:3]]
    together = predict(pictures)
    for i, picture in enumerate(pictures):
        for key, rows in predict([picture]).items():
            np.testing.assert_array_equal(rows[0], together[key][i])


def test_the_official_model_finds_the_same(official: Official, tmp_path: Path) -> None:
    held_out, *others = SAMPLES
    for path in others:
        shutil.copy(path, tmp_path)
    model = load_model(NAME, official.weights)
    version = artefact(
        "cpu", model, tmp_path / "models", NAME, {}, "int8", calibration_images=tmp_path
    )
    report = verify(model, version, [held_out])
    assert report.found == report.shown > 0


def test_outputs_far_below_0_have_codes_too(tmp_path: Path, scenes: list[Path]) -> None:
    cfg, weights, names = write_model(tmp_path, TINY_CFG)
    model = load_model(str(cfg), weights, names)
    model.weights[0].bias[:] -= 1000
    assert 0.25 * 1000 < largest_outputs(model, scenes)[0] < 0.3 * 1000


def test_numbers_that_are_not_finite_are_said(tmp_path: Path, scenes: list[Path]) -> None:
    cfg, weights, names = write_model(tmp_path, TINY_CFG)
    model = load_model(str(cfg), weights, names)
    model.weights[2].bias[0] = np.inf
    with pytest.raises(ModelError, match="convolution 2 gives numbers that are not finite"):
        largest_outputs(model, scenes)


@pytest.mark.parametrize(
    "more", [["--precision", "int8"], ["--precision", "f32", "--calibration-images", "."]]
)
def test_calibration_images_belong_to_int8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    files = write_model(tmp_path, TINY_CFG)
    assert main(target_arguments(files, tmp_path, "cpu", *more)) == 2
    assert USAGE in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "no pictures (.jpg, .jpeg, .png) in"),
        ("a.jpg", b"not a picture", "a.jpg is not a picture that can be decoded"),
    ],
)
def test_a_folder_without_readable_pictures_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, reason: str
) -> None:
    files = write_model(tmp_path, TINY_CFG)
    folder = tmp_path / "calibration"
    folder.mkdir()
    (folder / name).write_bytes(content)
    more = ["--precision", "int8", "--calibration-images", str(folder)]
    assert main(target_arguments(files, tmp_path / "repository", "cpu", *more)) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


def test_a_folder_that_does_not_exist_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_model(tmp_path, TINY_CFG)
    more = ["--precision", "int8", "--calibration-images", str(tmp_path / "none")]
    assert main(target_arguments(files, tmp_path, "cpu", *more)) == 2
    assert "none is not a folder" in capsys.readouterr().err
