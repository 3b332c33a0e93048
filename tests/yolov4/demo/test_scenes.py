"""The scenes of the bundled model: what is drawn is what is annotated."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yolov4.__main__ import main
from yolov4.demo.scenes import LARGEST, NAMES, SMALLEST, scene, write_scenes
from yolov4.demo.shapes import SHAPES, Pen

SEEDS = range(900_000_000, 900_000_060)


def test_a_seed_always_draws_the_same_scene() -> None:
    first, again, other = scene(7), scene(7), scene(8)
    assert first.jpeg() == again.jpeg()
    assert first.objects == again.objects
    assert first.jpeg() != other.jpeg()


def test_boxes_lie_inside_the_picture() -> None:
    for seed in SEEDS:
        drawn = scene(seed)
        assert drawn.objects
        for thing in drawn.objects:
            left, top, width, height = thing.box_xywh
            assert 0 <= left < left + width <= drawn.image.width
            assert 0 <= top < top + height <= drawn.image.height
            assert 0 <= thing.class_id < len(NAMES)


def test_boxes_are_tight_around_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red on grey, no noise, no blur: pixels more red than grey are in boxes, and fill them."""
    monkeypatch.setattr(
        "yolov4.demo.scenes.background",
        lambda rng, width, height: np.full((height, width, 3), 128, np.float32),
    )
    monkeypatch.setattr("yolov4.demo.scenes._colours", lambda *_: ((255, 0, 0), (255, 0, 0)))
    monkeypatch.setattr(
        "yolov4.demo.scenes._photograph",
        lambda rng, canvas: Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)),
    )
    alone = 0
    for seed in SEEDS:
        drawn = scene(seed)
        red = np.asarray(drawn.image)[..., 1] < 64
        boxed = np.zeros_like(red)
        for left, top, width, height in (thing.box_xywh for thing in drawn.objects):
            boxed[top : top + height, left : left + width] = True
        assert not (red & ~boxed).any()
        if len(drawn.objects) == 1:
            alone += 1
            rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
            left, top, width, height = drawn.objects[0].box_xywh
            assert (left, top) == (columns[0], rows[0])
            assert (left + width - 1, top + height - 1) == (columns[-1], rows[-1])
    assert alone > 2


def test_the_scenes_vary() -> None:
    drawn = [scene(seed) for seed in SEEDS]
    shares, classes, cropped = [], set(), 0
    for one in drawn:
        for thing in one.objects:
            left, top, width, height = thing.box_xywh
            shares.append(max(width, height) / (one.image.width * one.image.height) ** 0.5)
            classes.add(thing.class_id)
            cropped += left == 0 or top == 0
    assert classes == set(range(len(NAMES)))
    assert SMALLEST - 0.02 <= min(shares) < 0.1
    assert 0.5 < max(shares) <= LARGEST + 0.02
    assert cropped > 10
    assert len({one.image.size for one in drawn}) > 20
    assert len({one.jpeg_quality for one in drawn}) > 20


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_nearly_fills_its_square(name: str) -> None:
    pen = Pen(200, (255, 0, 0), (0, 0, 255))
    SHAPES[name](pen)
    left, top, right, bottom = pen.image.getchannel("A").getbbox() or (0, 0, 0, 0)
    assert max(right - left, bottom - top) >= 180
    colours = {colour for _, colour in pen.image.getcolors(1 << 16) or []}
    assert {(255, 0, 0, 255), (0, 0, 255, 255)} <= colours


def test_scenes_on_disk_are_in_cocos_format(tmp_path: Path) -> None:
    about = json.loads(write_scenes([5, 3], tmp_path, processes=1).read_text())
    assert [image["file_name"] for image in about["images"]] == ["00000005.jpg", "00000003.jpg"]
    for image in about["images"]:
        drawn = scene(image["id"])
        assert (tmp_path / image["file_name"]).read_bytes() == drawn.jpeg()
        assert (image["width"], image["height"]) == drawn.image.size
        mine = [thing for thing in about["annotations"] if thing["image_id"] == image["id"]]
        assert [(thing["category_id"] - 1, *thing["bbox"]) for thing in mine] == [
            (thing.class_id, *thing.box_xywh) for thing in drawn.objects
        ]
    assert [category["name"] for category in about["categories"]] == list(NAMES)


def test_the_command_draws_seeds_that_were_not_learnt(tmp_path: Path) -> None:
    assert main(["draw-scenes", "--out", str(tmp_path), "--count", "2"]) == 0
    about = json.loads((tmp_path / "instances.json").read_text())
    assert [image["id"] for image in about["images"]] == [1_000_000, 1_000_001]
    assert main(["draw-scenes", "--out", str(tmp_path), "--count", "0"]) == 2
    (tmp_path / "file").touch()
    assert main(["draw-scenes", "--out", str(tmp_path / "file"), "--count", "1"]) == 2
