"""An artefact beside float32: what is the same, what a lower precision changes, what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inputs.yolov4_models import export_arguments, write_model
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_weights
from yolov4.demo.scenes import NAMES, write_scenes
from yolov4.errors import ModelError
from yolov4.export.saved_model import export
from yolov4.network.model import Model
from yolov4.verify.compare import Report, verify


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(range(3), folder, processes=1)
    return folder


def report(tmp_path: Path, scenes: Path, precision: str, size: int = 96) -> Report:
    cfg, weights, names = write_model(tmp_path)
    network = read_cfg(cfg)
    arrays, words = read_weights(weights, network), read_names(names)
    made = network.resized(size, 64)
    version = export(Model(made, arrays, words), tmp_path / "repository", "m", {}, precision)
    return verify(Model(network, arrays, words), version, sorted(scenes.glob("*.jpg")))


def test_the_same_graph_differs_in_nothing(tmp_path: Path, scenes: Path) -> None:
    found = report(tmp_path, scenes, "float32")
    assert found.pictures == 3
    assert max(map(max, found.heads)) == 0
    assert found.found == found.shown > 0
    assert found.extra == 0
    assert min(found.ious) == pytest.approx(1, abs=1e-6)
    assert max(found.scores) == 0


def test_bfloat16_differs_by_its_rounding(tmp_path: Path, scenes: Path) -> None:
    found = report(tmp_path, scenes, "bfloat16")
    assert 0.0005 < max(map(max, found.heads)) < 0.05
    assert found.found > 0.9 * found.shown > 0
    assert re.search(r"heads: at most [\d.]+%, [\d.]+% of the largest", str(found))


def test_another_input_size_is_refused(tmp_path: Path, scenes: Path) -> None:
    with pytest.raises(ModelError, match="of another network, or of another input size"):
        report(tmp_path, scenes, "float32", size=128)


def test_the_command_with_annotations(
    tmp_path: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocotools")
    files = write_model(tmp_path)
    files[2].write_text("\n".join(NAMES[:3]))
    assert main([*export_arguments(files, tmp_path / "repository"), "--precision", "bf16"]) == 0
    version = tmp_path / "repository" / "small" / "1"
    about = json.loads((version / "assets.extra" / "model.json").read_text())
    assert about["precision"] == "bfloat16"
    model = ["--cfg", str(files[0]), "--weights", str(files[1]), "--names", str(files[2])]
    verified = ["verify", str(version), *model, "--images", str(scenes)]
    assert main([*verified, "--annotations", str(scenes / "instances.json")]) == 0
    said = capsys.readouterr().out
    assert "3 pictures, compared with float32" in said
    assert re.search(r"AP 0\.\d{4}, of float32 0\.\d{4}: [+-]0\.\d{4}", said)


def test_detections_that_float32_has_not_got_are_extra() -> None:
    from yolov4.verify.compare import _compare

    def outputs(*boxes: tuple[float, ...]) -> dict[str, Any]:
        count = len(boxes)
        return {
            "boxes": np.array([boxes], np.float32).reshape(1, count, 4),
            "scores": np.full((1, count), 0.5, np.float32),
            "classes": np.zeros((1, count), np.int32),
        }

    comparison = Report(heads=[[0.0]])
    _compare(comparison, outputs((0, 0, 9, 9)), outputs((0, 0, 9, 9), (50, 50, 70, 70)))
    assert (comparison.shown, comparison.found, comparison.extra) == (1, 1, 1)
    assert "1 of 1 found again, 1 extra" in str(comparison)


def test_missing_pictures_and_artefacts_are_reported_in_one_line(
    tmp_path: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_model(tmp_path)
    model = ["--cfg", str(files[0]), "--weights", str(files[1]), "--names", str(files[2])]
    assert main(["verify", str(tmp_path), *model, "--images", str(tmp_path)]) == 2
    assert f"error: no pictures (.jpg, .jpeg, .png) in {tmp_path}" in capsys.readouterr().err
    assert main(["verify", str(tmp_path), *model, "--images", str(scenes)]) == 2
    assert f"error: {tmp_path} is not a SavedModel to serve" in capsys.readouterr().err
