"""The whole of training at once: four scenes learnt by heart."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from tests.support.inputs.yolov4_models import load
from tests.yolov4.train.test_forward import with_new_coords
from yolov4.darknet.weights import read_weights
from yolov4.darknet.writer import write_model
from yolov4.demo.scenes import NAMES, write_scenes
from yolov4.network.architecture import yolov4_tiny
from yolov4.network.model import Model

SIDE = 128


@pytest.mark.slow
@pytest.mark.parametrize("new_coords", [False, True])
def test_four_scenes_are_learnt_by_heart(tmp_path: Path, new_coords: bool) -> None:
    """AP above 0.95 on them by pycocotools, through the SavedModel of the files written."""
    pytest.importorskip("pycocotools", reason="needs pycocotools")
    from yolov4.export.saved_model import export
    from yolov4.train.anchors import find_anchors
    from yolov4.train.checkpoint import Plan
    from yolov4.train.data import read_coco
    from yolov4.train.forward import initial
    from yolov4.train.loop import train

    annotations = write_scenes([0, 1, 2, 3], tmp_path, processes=1)
    data = read_coco(annotations, tmp_path, SIDE, SIDE)
    anchors = find_anchors(data, 6, SIDE, SIDE)
    network = yolov4_tiny(SIDE, SIDE, len(NAMES), 0.25, anchors)
    if new_coords:
        network = with_new_coords(network)
    plan = Plan(steps=500, batch=4, warm_up=20, average=0.95, augment=False, rate=3e-3)
    vector = train(network, initial(network, 0), data, plan)
    _, weights, _ = write_model(tmp_path, "four", network, vector, NAMES, seen=0)
    version = export(Model(network, read_weights(weights, network), NAMES), tmp_path, "four", {})
    assert average_precision(annotations, tmp_path, version) > 0.95


def average_precision(annotations: Path, images: Path, version: Path) -> float:
    """COCO's AP of a SavedModel whose class i is the category i + 1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    predict = load(version)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        rows = []
        for number, picture in truth.imgs.items():
            found = predict([(images / picture["file_name"]).read_bytes()])
            for i in range(found["num_detections"][0]):
                box = np.clip(found["boxes"][0, i], 0, [picture["width"], picture["height"]] * 2)
                rows.append(
                    {
                        "image_id": number,
                        "category_id": int(found["classes"][0, i]) + 1,
                        "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                        "score": float(found["scores"][0, i]),
                    }
                )
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0])
