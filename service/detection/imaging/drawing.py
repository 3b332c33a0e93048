"""Detections drawn on their picture: boxes, and labels that leave what they name visible."""

import colorsys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import mul
from pathlib import Path

from PIL import ImageDraw, ImageFont

from ..models import Box, Detection
from .image import Header
from .pixels import decode, encode

QUALITY = 90
FONTS = Path(__file__).parent / "fonts"
LATIN, CJK = FONTS / "DejaVuSans.ttf", FONTS / "DroidSansFallback-subset.ttf"
SMALLEST_FONT = 10  # pixels
COVERED = 0.25  # the part of any box that one label may cover

Font = ImageFont.FreeTypeFont
Runs = list[tuple[str, Font]]


def draw(
    data: bytes, header: Header, detections: Sequence[Detection], font_file: Path | None = None
) -> bytes:
    """The upload with its detections, as JPEG; large pictures are reduced. Raises as `decode`.

    `font_file`: for the labels; None for the bundled fonts.
    """
    image = decode(data, header)
    pen = ImageDraw.Draw(image)
    scale_x, scale_y = image.width / header.shown[0], image.height / header.shown[1]
    scale = (scale_x, scale_y, scale_x, scale_y)
    boxes = [Box(*map(mul, d.box, scale)) for d in detections]
    short = min(image.size)
    line = max(2, short // 200)
    for d, box in reversed(list(zip(detections, boxes, strict=True))):  # the best on top
        side = min(box.x_max - box.x_min, box.y_max - box.y_min)
        pen.rectangle(box, outline=_colour(d.class_id), width=min(line, max(1, int(side / 8))))
    sizes = (max(12, short // 32), max(SMALLEST_FONT, short // 48))
    placed: list[Box] = []
    for d, box in zip(detections, boxes, strict=True):
        for size in sizes:
            stroke = max(1, size // 8)
            runs = list(_runs(f"{d.label} {d.score:.2f}", size, font_file))
            width = sum(font.getlength(text) for text, font in runs) + 2 * stroke
            place = _place(box, (width, 1.2 * size + 2 * stroke), image.size, placed, boxes)
            if place:
                placed.append(place)
                _write(pen, runs, place, stroke, size, _colour(d.class_id))
                break
    return encode(image, QUALITY)


def _write(
    pen: ImageDraw.ImageDraw,
    runs: Runs,
    place: Box,
    stroke: int,
    size: int,
    colour: tuple[int, int, int],
) -> None:
    """Outlined letters instead of a filled plate: what is between them stays visible."""
    x, baseline = place.x_min + stroke, place.y_min + stroke + 0.95 * size
    for text, font in runs:
        pen.text(
            (x, baseline),
            text,
            _ink(colour),
            font,
            anchor="ls",
            stroke_width=stroke,
            stroke_fill=colour,
        )
        x += font.getlength(text)


def _place(
    box: Box,
    size: tuple[float, float],
    image: tuple[int, int],
    placed: Sequence[Box],
    boxes: Sequence[Box],
) -> Box | None:
    """At one of the box's corners, inside the picture, on no other label, and covering at most a
    quarter of any box; None where there is no such place."""
    width, height = size
    for y in (box.y_min - height, box.y_min, box.y_max - height, box.y_max):
        for x in (box.x_min, box.x_max - width):
            left = min(max(x, 0.0), max(image[0] - width, 0.0))
            place = Box(left, y, left + width, y + height)
            if (
                0 <= y <= image[1] - height
                and not any(_overlap(place, other) for other in placed)
                and all(_overlap(place, other) <= COVERED * _area(other) for other in boxes)
            ):
                return place
    return None


def _overlap(a: Box, b: Box) -> float:
    """Area that both cover, in square pixels."""
    width = min(a.x_max, b.x_max) - max(a.x_min, b.x_min)
    height = min(a.y_max, b.y_max) - max(a.y_min, b.y_min)
    return max(width, 0.0) * max(height, 0.0)


def _area(box: Box) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)


def _runs(text: str, size: int, font_file: Path | None) -> Iterator[tuple[str, Font]]:
    """`text` in parts that one font can write."""
    if font_file:
        yield text, _font(font_file, size)
        return
    for cjk, part in groupby(text, lambda letter: letter >= "\u2e80"):
        yield "".join(part), _font(CJK if cjk else LATIN, size)


@cache
def _font(file: Path, size: int) -> Font:
    return ImageFont.truetype(file, size)


@cache
def _colour(class_id: int) -> tuple[int, int, int]:
    """Neighbouring classes get distant hues: steps of the golden ratio around the colour wheel."""
    hue = (0.33 + class_id * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ink(colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
