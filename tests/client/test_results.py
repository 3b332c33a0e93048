"""Results and their conversions."""

import numpy as np
import pytest
from detect_client.errors import UnexpectedAnswer
from detect_client.results import Result, from_json

from tests.support.inputs.pictures import picture

ANSWER = {
    "model": {"name": "yolov4", "version": 7},
    "image": {"width": 64, "height": 48},
    "detections": [
        {
            "label": "dog",
            "class_id": 16,
            "score": 0.75,
            "box": {"x_min": 10.25, "y_min": 20.5, "x_max": 60.0, "y_max": 40.0},
        },
        {
            "label": "cat",
            "class_id": 15,
            "score": 0.5,
            "box": {"x_min": 0.0, "y_min": 3.0, "x_max": 64.0, "y_max": 40.0},
        },
    ],
}


def test_there_and_back() -> None:
    assert from_json(ANSWER).to_dict() == ANSWER


@pytest.mark.parametrize(
    "content", [None, [], {}, {**ANSWER, "detections": [{}]}, {**ANSWER, "image": 3}]
)
def test_something_else(content: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="not a detection result"):
        from_json(content)


def test_coco_rows() -> None:
    result = from_json(ANSWER)
    dog, cat = result.to_coco(139)
    assert dog == {
        "image_id": 139,
        "category_id": 17,
        "bbox": [10.25, 20.5, 49.75, 19.5],
        "score": 0.75,
    }
    assert cat["category_id"] == 16
    assert [row["category_id"] for row in result.to_coco(1, {"dog": 18})] == [18]


def test_drawing_shows_the_picture_upright_with_its_boxes() -> None:
    stored = picture(640, 480, orientation=6)
    box = {"x_min": 100.0, "y_min": 200.0, "x_max": 300.0, "y_max": 400.0}
    detection = {"label": "dog", "class_id": 16, "score": 0.9, "box": box}
    answer = {**ANSWER, "image": {"width": 480, "height": 640}, "detections": [detection]}
    result = from_json(answer, picture=stored)
    drawn = result.draw()
    assert drawn.size == (480, 640)
    plain = Result(480, 640, [], "m", 1, picture=stored).draw()
    changed = np.argwhere(
        np.abs(np.asarray(drawn).astype(int) - np.asarray(plain)).sum(axis=2) > 90
    )
    (y_min, x_min), (y_max, x_max) = changed.min(axis=0), changed.max(axis=0)
    assert (x_min, y_max, x_max) == (100, 400, 300)
    assert 150 < y_min < 200  # the label stands above the box
