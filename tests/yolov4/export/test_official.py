"""The official YOLOv4-tiny weights on the sample photographs, compared with OpenCV's reader."""

from pathlib import Path

import pytest

from tests.support.inputs.official import NAME, SAMPLES, Official
from tests.support.inputs.yolov4_models import load
from tests.support.oracles.opencv_oracle import OpenCV, iou


def test_every_detection_is_opencvs(official: Official, coco_repository: Path) -> None:
    predict = load(coco_repository / NAME / "1")
    reader = OpenCV(official.cfg, official.weights, 416)
    labels = {}
    for path in SAMPLES:
        answer = predict([path.read_bytes()])
        shown = int((answer["scores"][0] >= 0.25).sum())
        wanted = reader.detect(path.read_bytes(), 0.25, exact=True)
        assert shown == len(wanted) > 0
        for i, theirs in enumerate(wanted):
            assert answer["classes"][0, i] == theirs.class_id
            assert answer["scores"][0, i] == pytest.approx(theirs.score, abs=0.002)
            assert iou(tuple(answer["boxes"][0, i].tolist()), theirs.box) > 0.99
        labels[path.name] = answer["labels"][0, 0].decode()
    # OpenCV agrees: to this small model the face of the cat is a dog's.
    assert labels == {"astronaut.jpg": "person", "cat.jpg": "dog", "coffee.jpg": "cup"}
