"""`detect FOLDER --annotations`, scored by pycocotools: the metrics of `loadtest accuracy`."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from detect_client.cli.main import main
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from loadtest.__main__ import main as loadtest
from loadtest.accuracy.average_precision import STATS
from tests.support.inputs.official import NAME
from tests.support.processes.whole_service import whole_service
from tests.support.project import ROOT
from yolov4.demo.scenes import write_scenes

pytestmark = pytest.mark.slow


def scored(annotations: Path, results: Path) -> dict[str, float]:
    """COCO's twelve metrics by pycocotools alone, in the digits of loadtest's report."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: round(float(x), 6) for name, x in zip(STATS, evaluation.stats, strict=True)}


def compare(repository: Path, model: str, pictures: Path, annotations: Path, out: Path) -> float:
    """Both commands against one service; returns the AP that they agree on."""
    with whole_service(out, repository, model) as (gateway, _):
        service = ["--url", gateway.url, "--annotations", str(annotations)]
        assert loadtest(["accuracy", *service, "--images", str(pictures), "--out", str(out)]) == 0
        found = out / "found.json"
        assert main([str(pictures), *service, "--out", str(found), "--score-threshold=0.001"]) == 0
    report = json.loads((out / "accuracy.json").read_text())["stats"]
    ours = scored(annotations, found)
    assert ours == {name: -1 if x is None else x for name, x in report.items()}
    return ours["AP"]


def test_of_the_demo_model(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    command = [sys.executable, "-m", "yolov4", "prepare", "demo", "--repository", str(repository)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    annotations = write_scenes(range(3_000_000, 3_000_040), tmp_path / "pictures")
    assert compare(repository, "demo", tmp_path / "pictures", annotations, tmp_path) > 0.7


def test_of_the_official_model(data: Path, coco_repository: Path, tmp_path: Path) -> None:
    coco = data / "coco"
    annotations = coco / "instances_val2017_103.json"
    assert compare(coco_repository, NAME, coco / "val2017", annotations, tmp_path) > 0.25
