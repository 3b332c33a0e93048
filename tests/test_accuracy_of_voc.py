"""COCO AP of the trained VOC model: through the endpoint, beside OpenCV's network, and in bf16."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.__main__ import main
from tests.conftest import ROOT
from tests.opencv_oracle import OpenCV
from tests.test_end_to_end import served

COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


def through_the_endpoint(data: Path, folder: Path, precision: str) -> float:
    """COCO's AP over the VOC classes, of the model exported in this precision and served."""
    files = data / "yolov4-tiny-voc"
    model = ["--cfg", files / "yolov4-tiny-voc.cfg", "--names", files / "voc.names"]
    model += ["--weights", files / "yolov4-tiny-voc.weights", "--precision", precision]
    command = [sys.executable, "-m", "yolov4", "export", "--name", "voc", "--repository", folder]
    subprocess.run([*command, *model], cwd=ROOT, check=True, capture_output=True)
    pictures = ["--images", str(data / "coco" / "val2017"), "--names", str(files / "voc.names")]
    truth = data / "coco" / "instances_val2017_103.json"
    with served("voc", folder) as gateway:
        arguments = ["--url", gateway.url, *pictures, "--annotations", str(truth)]
        assert main(["accuracy", *arguments, "--out", str(folder / "out")]) == 0
    report = json.loads((folder / "out" / "accuracy.json").read_text())
    ap: float = report["stats"]["AP"]
    return ap


def of_opencv(data: Path) -> float:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    files = data / "yolov4-tiny-voc"
    net = OpenCV(files / "yolov4-tiny-voc.cfg", files / "yolov4-tiny-voc.weights", 416)
    truth = COCO(str(data / "coco" / "instances_val2017_103.json"))
    names = [COCO_NAMES.get(n, n) for n in (files / "voc.names").read_text().split()]
    rows = []
    for image in truth.imgs.values():
        jpeg = (data / "coco" / "val2017" / image["file_name"]).read_bytes()
        for class_id, score, (x_min, y_min, x_max, y_max) in net.detect(jpeg, 0.001)[:100]:
            x_min, x_max = max(x_min, 0), min(x_max, image["width"])
            y_min, y_max = max(y_min, 0), min(y_max, image["height"])
            row = {"image_id": image["id"], "bbox": [x_min, y_min, x_max - x_min, y_max - y_min]}
            (category,) = truth.getCatIds(catNms=[names[class_id]])
            rows.append({**row, "category_id": category, "score": score})
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.params.catIds = [truth.getCatIds(catNms=[name])[0] for name in names]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.slow
def test_ap_is_opencvs_and_bf16_costs_next_to_nothing(data: Path, tmp_path: Path) -> None:
    f32 = through_the_endpoint(data, tmp_path / "f32", "f32")
    assert f32 == pytest.approx(of_opencv(data), abs=0.005)
    assert f32 > 0.2
    assert through_the_endpoint(data, tmp_path / "bf16", "bf16") == pytest.approx(f32, abs=0.005)
