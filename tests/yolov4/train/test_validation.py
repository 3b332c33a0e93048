"""Which pictures are held out, and that their AP is that of the exported model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inputs.yolov4_models import NAMES, load, write_model
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_vector, read_weights
from yolov4.errors import ModelError
from yolov4.network.model import Model
from yolov4.train.data import read_coco
from yolov4.train.validation import Validation, hold_out
from yolov4.verify.average_precision import Annotations, average_precision, read_annotations


def annotations(count: int, shown: range) -> Annotations:
    """Pictures `0.jpg` and so on; those of `shown` show a `cat`, all show a `dog`."""
    pictures = [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 64} for i in range(count)]
    box = {"bbox": [8, 8, 32, 32], "area": 1024, "iscrowd": 0}
    objects = [{**box, "image_id": i, "category_id": 1} for i in shown]
    objects += [{**box, "image_id": i, "category_id": 2} for i in range(count)]
    return Annotations(pictures, {1: "cat", 2: "dog"}, objects)


def test_the_held_out_pictures_depend_on_their_names_alone() -> None:
    some = hold_out(annotations(100, range(100)), 0.1)
    assert len(some) == 10
    assert some == hold_out(annotations(100, range(50)), 0.1)
    # One more picture changes at most one of them.
    assert len(some & hold_out(annotations(101, range(101)), 0.1)) >= 9


def test_held_out_pictures_show_what_is_trained() -> None:
    some = hold_out(annotations(100, range(20)), 0.25, {"cat"})
    assert len(some) == 5
    assert all(int(name.removesuffix(".jpg")) < 20 for name in some)


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.999, 2)])
def test_at_least_one_is_held_out_and_one_is_left(share: float, count: int) -> None:
    assert len(hold_out(annotations(3, range(3)), share)) == count


def test_one_picture_is_too_few() -> None:
    with pytest.raises(ModelError, match="1 annotated pictures show an object, too few to hold"):
        hold_out(annotations(5, range(1)), 0.5, {"cat"})


@pytest.mark.parametrize("size", [(96, 64), (64, 96)])
def test_ap_is_that_of_the_exported_model(tmp_path: Path, size: tuple[int, int]) -> None:
    """On pictures of other sizes, with the objects of whatever the exported model detects."""
    import json

    from PIL import Image

    from yolov4.export.saved_model import export

    cfg, weights, _ = write_model(tmp_path)
    network = read_cfg(cfg).resized(*size)
    version = export(Model(network, read_weights(weights, network), NAMES), tmp_path, "m", {})
    predict = load(version)
    rng = np.random.default_rng(3)
    images, objects, answers = [], [], {}
    for number, sides in enumerate([(150, 90), (64, 64), (80, 200), (96, 64), (33, 97)]):
        name = f"{number}.png"
        pixels = rng.integers(0, 256, (*sides[::-1], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        images.append({"id": number, "file_name": name, "width": sides[0], "height": sides[1]})
        answers[name] = predict([(tmp_path / name).read_bytes()])
        for i in range(0, int(answers[name]["num_detections"][0]), 3):
            box = np.clip(answers[name]["boxes"][0, i], 0, [*sides, *sides]).tolist()
            bbox = [box[0] + 1, box[1], box[2] - box[0] - 1, box[3] - box[1]]
            category = int(answers[name]["classes"][0, i]) + 1
            objects.append({"image_id": number, "category_id": category, "bbox": bbox})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)]
    content: dict[str, Any] = {"images": images, "annotations": objects, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))

    truth = read_annotations(tmp_path / "coco.json")
    wanted = average_precision(truth, NAMES, answers)
    data = read_coco(tmp_path / "coco.json", tmp_path, *size)
    found = Validation(network, data, truth, NAMES)(read_vector(weights, network), 7)
    assert wanted.ap > 0.1
    assert found.step == 7
    # Training rounds stretched pictures to 0..255, which moves boxes by a fraction of a pixel.
    assert found.ap == pytest.approx(wanted.ap, abs=0.02)
    assert found.ap50 == pytest.approx(wanted.ap50, abs=0.02)
    assert found.classes.keys() == wanted.classes.keys() == set(NAMES)
