"""Boxes are drawn where they are, labels inside the picture."""

import io

import pytest
from PIL import Image, ImageChops

from service.detection.imaging.drawing import CJK, LATIN, _area, _overlap, _place, _runs, draw
from service.detection.models import Box, Detection
from tests.support.inputs.pictures import picture
from tests.support.oracles.two_decoders import header_of


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
    [Box(0, 0, 256, 192), Box(240, 160, 256, 192), Box(0, 0, 1, 1), Box(0, 188, 256, 192)],
)
def test_a_label_at_the_border_is_drawn_inside(box: Box) -> None:
    drawn = Image.open(io.BytesIO(drawn_on(picture(256, 192), [Detection("x", 3, 1.0, box)])))
    assert drawn.size == (256, 192)
    plain = Image.open(io.BytesIO(drawn_on(picture(256, 192), [])))
    changed = ImageChops.difference(plain, drawn).convert("L").point(lambda value: value > 40)
    inside = changed.getbbox()
    assert inside
    assert inside[2] - inside[0] > 30  # wider than the small boxes, and so a label
    assert changed.histogram()[1] > 60


@pytest.mark.parametrize(("orientation", "corner"), [(6, (300, 10)), (8, (10, 380))])
def test_the_picture_is_shown_as_a_viewer_shows_it(
    orientation: int, corner: tuple[int, int]
) -> None:
    shown = Image.open(io.BytesIO(drawn_on(picture(400, 310, orientation=orientation), [])))
    assert shown.size == (310, 400)
    pixel = shown.getpixel(corner)  # the white corner, upper left as stored
    assert isinstance(pixel, tuple)
    assert min(pixel) > 200


def test_labels_overlap_neither_each_other_nor_the_picture() -> None:
    box = Box(100.0, 80.0, 300.0, 200.0)
    placed: list[Box] = []
    for _ in range(8):
        place = _place(box, (60.0, 20.0), (400, 300), placed, [box])
        assert place
        assert not any(_overlap(place, other) for other in placed)
        assert 0 <= place.x_min < place.x_max <= 400
        assert 0 <= place.y_min < place.y_max <= 300
        placed.append(place)
    assert placed[0] == (100.0, 60.0, 160.0, 80.0)  # above the upper left corner
    assert _place(box, (60.0, 20.0), (400, 300), placed, [box]) is None


def test_a_label_covers_at_most_a_quarter_of_any_box() -> None:
    small = [Box(x, y, x + 20.0, y + 20.0) for x in range(0, 400, 25) for y in range(0, 300, 25)]
    labels = [_place(box, (60.0, 12.0), (400, 300), [], small) for box in small]
    assert labels == [None] * len(small)  # a crowd: each label would hide its neighbours
    alone = _place(small[50], (60.0, 12.0), (400, 300), [], [small[50]])
    assert alone
    assert _overlap(alone, small[50]) <= _area(small[50]) / 4


@pytest.mark.parametrize("label", ["собака", "σκύλος", "犬", "狗", "개", "שלום", "ŭčř", "→ 5 €"])
def test_every_letter_of_a_label_has_a_glyph(label: str) -> None:
    for text, font in _runs(label, 32, None):
        missing = bytes(font.getmask("\U0010fffd"))
        assert missing
        for letter in text.replace(" ", ""):
            assert bytes(font.getmask(letter)) not in (b"", missing), letter


def test_another_font_can_be_named() -> None:
    box = Box(100.0, 80.0, 300.0, 200.0)
    data = picture(400, 300)
    drawings = {
        draw(data, header_of(data), [Detection("犬 12", 1, 0.5, box)], font)
        for font in (None, LATIN, CJK)
    }
    assert len(drawings) == 3
