"""COCO AP of the official YOLOv4-tiny through `POST /detect`, and the same from `verify`."""

import json
from pathlib import Path

import pytest

from loadtest.__main__ import main
from tests.support.inputs.official import NAME, Official, export_official
from tests.support.processes.whole_service import whole_service
from yolov4.load import load_model
from yolov4.verify.compare import verify


def through_the_endpoint(data: Path, repository: Path, folder: Path) -> float:
    pictures = ["--images", str(data / "coco" / "val2017")]
    truth = ["--annotations", str(data / "coco" / "instances_val2017_103.json")]
    folder.mkdir()
    with whole_service(folder, repository, NAME) as (gateway, _):
        service = ["--url", gateway.url, "--out", str(folder)]
        assert main(["accuracy", *service, *pictures, *truth]) == 0
    report = json.loads((folder / "accuracy.json").read_text())
    return float(report["stats"]["AP"])


@pytest.mark.slow
def test_ap_through_the_endpoint_is_verifys(
    data: Path, official: Official, coco_repository: Path, tmp_path: Path
) -> None:
    float32 = through_the_endpoint(data, coco_repository, tmp_path / "f32")
    assert float32 == pytest.approx(0.274, abs=0.001)

    version = export_official(official.weights, tmp_path / "models", "bf16")
    bfloat16 = through_the_endpoint(data, tmp_path / "models", tmp_path / "bf16")
    assert bfloat16 == pytest.approx(float32, abs=0.005)

    verified = verify(
        load_model(NAME, official.weights),
        version,
        sorted((data / "coco" / "val2017").glob("*.jpg")),
        data / "coco" / "instances_val2017_103.json",
    )
    assert verified.average_precision is not None
    digits = [round(ap, 6) for ap in verified.average_precision]
    assert digits == [float32, bfloat16]
    assert verified.categories is not None
    assert verified.categories.excluded == verified.categories.ignored == []
