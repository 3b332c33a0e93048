"""COCO AP of the trained VOC model: through the endpoint, beside OpenCV's network, and in bf16."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.__main__ import main
from tests.support.oracles.opencv_oracle import OpenCV, clipped
from tests.support.project import ROOT
from tests.system.test_end_to_end import served

COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


Rows = list[dict[str, Any]]  # COCO's results
# OpenCV's [yolo] layers drop what scores less than 0.2, so AP can be compared from there on.
THRESHOLD = 0.25


def ap(data: Path, rows: Rows) -> float:
    """COCO's over the VOC classes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(data / "coco" / "instances_val2017_103.json"))
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.params.catIds = categories(data)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


def categories(data: Path) -> list[int]:
    about = json.loads((data / "coco" / "instances_val2017_103.json").read_text())
    ids = {category["name"]: category["id"] for category in about["categories"]}
    names = (data / "yolov4-tiny-voc" / "voc.names").read_text().split()
    return [ids[COCO_NAMES.get(name, name)] for name in names]


def through_the_endpoint(data: Path, folder: Path, precision: str) -> Rows:
    """What the model exported in this precision and served detects, from scores of 0.001 on."""
    files = data / "yolov4-tiny-voc"
    command: list[str | Path] = [
        *(sys.executable, "-m", "yolov4", "export", "--name", "voc", "--repository", folder),
        *("--cfg", files / "yolov4-tiny-voc.cfg", "--names", files / "voc.names"),
        *("--weights", files / "yolov4-tiny-voc.weights", "--precision", precision),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    pictures = ["--images", str(data / "coco" / "val2017"), "--names", str(files / "voc.names")]
    truth = data / "coco" / "instances_val2017_103.json"
    with served("voc", folder) as gateway:
        arguments = ["--url", gateway.url, *pictures, "--annotations", str(truth)]
        assert main(["accuracy", *arguments, "--out", str(folder / "out")]) == 0
    rows: Rows = json.loads((folder / "out" / "detections.json").read_text())
    report = json.loads((folder / "out" / "accuracy.json").read_text())
    assert report["stats"]["AP"] == pytest.approx(ap(data, rows), abs=1e-5)
    return rows


def of_opencv(data: Path) -> Rows:
    files = data / "yolov4-tiny-voc"
    net = OpenCV(files / "yolov4-tiny-voc.cfg", files / "yolov4-tiny-voc.weights", 416)
    ids = categories(data)
    about = json.loads((data / "coco" / "instances_val2017_103.json").read_text())
    rows: Rows = []
    for image in about["images"]:
        jpeg = (data / "coco" / "val2017" / image["file_name"]).read_bytes()
        for class_id, score, box in net.detect(jpeg, THRESHOLD, exact=True):
            x_min, y_min, x_max, y_max = clipped(box, image["width"], image["height"])
            bbox = [x_min, y_min, x_max - x_min, y_max - y_min]
            row = {"image_id": image["id"], "bbox": bbox, "score": score}
            rows.append({**row, "category_id": ids[class_id]})
    return rows


@pytest.mark.slow
def test_ap_is_opencvs_and_bf16_costs_next_to_nothing(data: Path, tmp_path: Path) -> None:
    f32 = through_the_endpoint(data, tmp_path / "f32", "f32")
    shown = ap(data, [row for row in f32 if row["score"] >= THRESHOLD])
    assert shown > 0.1
    assert shown == pytest.approx(ap(data, of_opencv(data)), abs=0.005)
    bf16 = through_the_endpoint(data, tmp_path / "bf16", "bf16")
    assert ap(data, bf16) == pytest.approx(ap(data, f32), abs=0.005)
