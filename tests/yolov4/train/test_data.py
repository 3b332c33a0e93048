"""Pictures in COCO's format become batches whose boxes lie where the objects are."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from yolov4.errors import ModelError
from yolov4.train.anchors import find_anchors
from yolov4.train.data import CORNER, Dataset, batch, cut, read_coco

GREEN = (0, 255, 0)


def coco(folder: Path, **changes: Any) -> Path:
    """Two pictures of 200x100; the first holds a green box, another category's and a crowd."""
    for name, box in (("a.png", (20, 10, 60, 50)), ("b.png", (100, 0, 200, 100))):
        picture = Image.new("RGB", (200, 100))
        picture.paste(GREEN, box)
        picture.save(folder / name)
    about = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 200, "height": 100},
            {"id": 3, "file_name": "b.png", "width": 200, "height": 100},
        ],
        "annotations": [
            {"image_id": 7, "category_id": 90, "bbox": [20, 10, 40, 40]},
            {"image_id": 3, "category_id": 90, "bbox": [100, 0, 150, 100]},
            {"image_id": 7, "category_id": 5, "bbox": [0, 0, 10, 10], "iscrowd": 0},
            {"image_id": 7, "category_id": 90, "bbox": [0, 0, 200, 100], "iscrowd": 1},
        ],
        "categories": [{"id": 90, "name": "green"}, {"id": 5, "name": "corner"}],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps({**about, **changes}))
    return path


def test_reads_boxes_and_classes(tmp_path: Path) -> None:
    data = read_coco(coco(tmp_path), tmp_path, 64, 96)
    assert data.names == ["corner", "green"]  # by id
    assert data.pixels.shape == (2, 96, 64, 3)
    np.testing.assert_allclose(data.boxes[0], [[0.1, 0.1, 0.3, 0.5], [0, 0, 0.05, 0.1]], atol=1e-6)
    np.testing.assert_allclose(data.boxes[1], [[0.5, 0, 1, 1]])  # clipped to the picture
    assert [classes.tolist() for classes in data.classes] == [[1, 0], [1]]
    assert data.pixels[1, 50, 40].tolist() == list(GREEN)
    assert data.pixels[1, 50, 20].tolist() == [0, 0, 0]


def test_reads_the_wanted_categories_only(tmp_path: Path) -> None:
    data = read_coco(coco(tmp_path), tmp_path, 32, 32, {"green"})
    assert data.names == ["green"]
    assert [classes.tolist() for classes in data.classes] == [[0], [0]]


@pytest.mark.parametrize(
    ("changes", "only", "message"),
    [
        ({"categories": "none"}, set(), "not in COCO's format"),
        ({"images": []}, set(), "not in COCO's format"),  # annotations of no picture
        ({"images": [], "annotations": []}, set(), "no pictures"),
        ({"annotations": []}, set(), "contains no objects"),
        ({}, {"blue"}, "no category blue"),
        ({"images": [{"id": 7, "file_name": "c.png", "width": 1, "height": 1}], "annotations": []},
         set(), "cannot read .*c.png: No such file"),
    ],
)  # fmt: skip
def test_invalid_annotations_are_reported(
    tmp_path: Path, changes: dict[str, Any], only: set[str], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_coco(coco(tmp_path, **changes), tmp_path, 32, 32, only)


def test_an_undecodable_file_is_named(tmp_path: Path) -> None:
    path = coco(tmp_path)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(ModelError, match=r"b\.png is not a picture"):
        read_coco(path, tmp_path, 32, 32)


def green_boxes(count: int, side: int, seed: int) -> Dataset:
    """Black pictures with one green box each, sharp to the pixel."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((count, side, side, 3), np.uint8)
    boxes = []
    for picture in pixels:
        (left, right), (top, bottom) = np.sort(rng.choice(side, (2, 2), replace=False), axis=1)
        picture[top : bottom + 1, left : right + 1] = GREEN
        corners = np.array([[left, top, right + 1, bottom + 1]], np.float32)
        boxes.append((corners / side).astype(np.float32))
    return Dataset(pixels, boxes, [np.array([0], np.int32)] * count, ["green"])


@pytest.mark.parametrize(("mosaics", "augment"), [(0, False), (0, True), (2, True)])
def test_boxes_stay_around_what_is_seen(mosaics: int, augment: bool) -> None:
    """Wherever a box is kept, the green pixels' bounds in that region agree with it."""
    side, checked = 128, 0
    data = green_boxes(12, side, seed=1)
    for step in range(12):
        examples = batch(data, 0, step, 4, mosaics, augment)
        pictures = cut(examples, mosaics, side, side).numpy()
        for i, picture in enumerate(pictures):
            green = (picture[..., 1] > 0.4) & (picture[..., 0] < 0.3)
            for box in examples.boxes[i][examples.classes[i] == 0]:
                corners = np.concatenate([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2]) * side
                if i < mosaics:  # look at its tile alone
                    x, y = (box[:2] >= 0.5) * side // 2
                    region = green[y : y + side // 2, x : x + side // 2]
                else:
                    (x, y), region = (0, 0), green
                columns, rows = np.flatnonzero(region.any(0)), np.flatnonzero(region.any(1))
                found = (columns[0] + x, rows[0] + y, columns[-1] + 1 + x, rows[-1] + 1 + y)
                np.testing.assert_allclose(corners, found, atol=1.5)
                checked += 1
    assert checked > 24


def test_a_window_shows_an_object_whole_or_no_more_than_a_corner_of_it() -> None:
    """What is left of a cut star's box is not the box of what is left of the star."""
    data = green_boxes(12, 64, seed=1)
    cropped = 0
    for step in range(30):
        rng = np.random.default_rng([0, step])
        chosen = rng.integers(len(data.pixels), size=4)
        for window, number in zip(batch(data, 0, step, 4, 0, True).windows, chosen, strict=True):
            y_min, y_max = sorted(window[::2])
            x_min, x_max = sorted(window[1::2])
            cropped += min(x_min, y_min) > 0 or max(x_max, y_max) < 1
            low, high = data.boxes[number][:, :2], data.boxes[number][:, 2:]
            shown = np.minimum(high, (x_max, y_max)) - np.maximum(low, (x_min, y_min))
            shown = (shown / (high - low)).min(axis=1)
            assert ((shown < CORNER + 1e-3) | (shown > 1 - 1e-3)).all()
    assert cropped > 20


def test_a_batch_follows_from_seed_and_step() -> None:
    data = green_boxes(12, 32, seed=1)
    first, again, later = (batch(data, 0, step, 4, 1, True) for step in (5, 5, 6))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.windows, later.windows)


def test_anchors_are_where_the_sizes_are() -> None:
    rng = np.random.default_rng(0)
    sizes = np.concatenate(
        [rng.normal(center, 0.005, (50, 2)) for center in ((0.1, 0.2), (0.5, 0.4))]
    )
    boxes = np.concatenate([np.zeros((100, 2)), sizes], axis=1).astype(np.float32)
    data = Dataset(np.zeros((1, 32, 32, 3), np.uint8), [boxes], [], ["a"])
    found = find_anchors(data, 2, 200, 100)
    np.testing.assert_allclose(found, [(20, 20), (100, 40)], atol=1)
    with pytest.raises(ModelError, match="101 anchors cannot be found from 100 boxes"):
        find_anchors(data, 101, 200, 100)


def test_a_picture_is_stretched_as_it_is_when_served(tmp_path: Path) -> None:
    from yolov4.graph.preprocess import preprocess
    from yolov4.network.network import Network

    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    (tmp_path / "n.jpg").write_bytes(file.getvalue())
    path = coco(tmp_path, images=[{"id": 7, "file_name": "n.jpg", "width": 90, "height": 70}],
                annotations=[{"image_id": 7, "category_id": 5, "bbox": [0, 0, 9, 9]}])  # fmt: skip
    data = read_coco(path, tmp_path, 64, 32)
    served, _ = preprocess(Network(64, 32, 3, ()), tf.constant([file.getvalue()]))
    assert np.abs(data.pixels[0] - served[0].numpy() * 255).max() <= 0.5
