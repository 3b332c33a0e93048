"""Boxes are drawn where they are, labels inside the picture."""

import io

import pytest
from PIL import Image

from service.detection.drawing import _colour, _overlap, _place, draw
from service.detection.models import Box, Detection
from tests.support.pictures import picture
from tests.support.two_decoders import header_of


def drawn_on(data: bytes, detections: list[Detection]) -> bytes:
    return draw(data, header_of(data), detections)


def test_box_lines_lie_on_the_box() -> None:
    plain = Image.open(io.BytesIO(drawn_on(picture(400, 300), [])))
    box = Box(100.0, 80.0, 300.0, 200.0)
    drawn = Image.open(io.BytesIO(drawn_on(picture(400, 300), [Detection("dog", 16, 0.9, box)])))
    assert drawn.size == (400, 300)

    def changed(x: int, y: int) -> bool:
        before, after = plain.getpixel((x, y)), drawn.getpixel((x, y))
        assert isinstance(before, tuple)
        assert isinstance(after, tuple)
        return max(abs(a - b) for a, b in zip(before, after, strict=True)) > 60

    assert all(changed(x, 200) for x in range(110, 290, 10))
    assert all(changed(300, y) for y in range(90, 190, 10))
    assert not any(changed(x, 140) for x in range(120, 280, 10))  # the inside stays as it was
    assert not changed(50, 250)


@pytest.mark.parametrize(
    "box",
    [Box(0, 0, 64, 48), Box(60, 40, 64, 48), Box(0, 0, 1, 1), Box(0, 47, 64, 48)],
)
def test_a_label_at_the_border_is_drawn_inside(box: Box) -> None:
    drawn = Image.open(io.BytesIO(drawn_on(picture(), [Detection("x", 3, 1.0, box)])))
    assert drawn.size == (64, 48)
    plate = _colour(3)
    near = sum(
        max(abs(a - b) for a, b in zip(pixel, plate, strict=True)) < 60
        for pixel in zip(*[iter(drawn.tobytes())] * 3, strict=True)
    )
    assert near > 60  # a plate's worth of pixels


@pytest.mark.parametrize(("orientation", "corner"), [(6, (300, 10)), (8, (10, 380))])
def test_the_picture_is_shown_as_a_viewer_shows_it(
    orientation: int, corner: tuple[int, int]
) -> None:
    shown = Image.open(io.BytesIO(drawn_on(picture(400, 310, orientation=orientation), [])))
    assert shown.size == (310, 400)
    pixel = shown.getpixel(corner)  # the white corner, upper left as stored
    assert isinstance(pixel, tuple)
    assert min(pixel) > 200


def test_labels_of_boxes_on_each_other_do_not_cover_each_other() -> None:
    box = Box(100.0, 80.0, 300.0, 200.0)
    placed: list[tuple[float, float, float, float]] = []
    for _ in range(8):
        plate = _place(box, (60.0, 20.0), (400, 300), placed)
        assert not any(_overlap(plate, other) for other in placed)
        assert plate[0] >= 0
        assert plate[2] <= 400
        assert plate[1] >= 0
        assert plate[3] <= 300
        placed.append(plate)
    assert placed[0] == (100.0, 60.0, 160.0, 80.0)  # above the upper left corner
