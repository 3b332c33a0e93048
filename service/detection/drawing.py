"""Detections drawn on their picture: boxes and labels that can be read on any background."""

import colorsys
from collections.abc import Sequence
from functools import cache

from PIL import ImageDraw, ImageFont

from .image import Header
from .models import Box, Detection
from .pixels import decode, encode

QUALITY = 90

Corners = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max, pixels


def draw(data: bytes, header: Header, detections: Sequence[Detection]) -> bytes:
    """The upload with its detections, as JPEG. Decodes and encodes: not on the event loop."""
    image = decode(data, header)
    pen = ImageDraw.Draw(image)
    short = min(image.size)
    line = max(2, short // 200)
    font = _font(max(12, short // 32))
    for d in reversed(detections):  # the best last, on top
        corners = (d.box.x_min, d.box.y_min, d.box.x_max, d.box.y_max)
        pen.rectangle(corners, outline=_colour(d.class_id), width=line)
    placed: list[Corners] = []
    for d in detections:
        text = f"{d.label} {d.score:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        pad = line + 1
        size = (right - left + 2 * pad, bottom - top + 2 * pad)
        plate = _place(d.box, size, image.size, placed)
        placed.append(plate)
        pen.rectangle(plate, fill=_colour(d.class_id))
        start = (plate[0] + pad - left, plate[1] + pad - top)
        pen.text(start, text, font=font, fill=_ink(_colour(d.class_id)))
    return encode(image, QUALITY)


def _place(
    box: Box, size: tuple[float, float], image: tuple[int, int], placed: Sequence[Corners]
) -> Corners:
    """At one of the box's corners, inside the picture and, where possible, on no other label."""
    width, height = size
    spots = [
        (x, y)
        for x in (box.x_min, box.x_max - width)
        for y in (box.y_min - height, box.y_min, box.y_max - height, box.y_max)
        if 0 <= y <= image[1] - height
    ]
    plates = [
        (left, y, left + width, y + height)
        for x, y in spots or [(box.x_min, 0.0)]
        for left in [min(max(x, 0.0), max(image[0] - width, 0.0))]
    ]
    free = (p for p in plates if not any(_overlap(p, other) for other in placed))
    return next(free, plates[0])


def _overlap(a: Corners, b: Corners) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@cache
def _colour(class_id: int) -> tuple[int, int, int]:
    """Neighbouring classes get distant hues: steps of the golden ratio around the colour wheel."""
    hue = (0.33 + class_id * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ink(colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
