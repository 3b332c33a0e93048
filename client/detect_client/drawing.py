"""Detections drawn on their picture with Pillow."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .results import Box, Result

COVERED = 0.25  # the part of any box that one label may cover


def draw(result: Result) -> Image.Image:
    """The picture in RGB, upright, with a box and a label for each detection."""
    with Image.open(io.BytesIO(result.picture)) as stored:
        image = ImageOps.exif_transpose(stored).convert("RGB")
    pen = ImageDraw.Draw(image)
    short = min(image.size)
    line = max(2, short // 250)
    size = max(14, short // 32)
    outline = max(1, size // 8)  # wider, it would fill the letters
    font = ImageFont.load_default(size)
    for d in reversed(result.detections):  # the best last, on top
        pen.rectangle(tuple(d.box), outline=_colour(d.class_id), width=line)
    boxes, placed = [d.box for d in result.detections], list[Box]()
    for d in result.detections:  # the best first: where there is no room, the others have no label
        text = f"{d.label} {d.score:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font, stroke_width=outline)
        place = _place(d.box, (right - left, bottom - top), image.size, placed, boxes)
        if place:
            placed.append(place)
            at = (place.x_min - left, place.y_min - top)
            colour = _colour(d.class_id)
            pen.text(at, text, colour, font, stroke_width=outline, stroke_fill="black")
    return image


def _place(
    box: Box,
    size: tuple[float, float],
    image: tuple[int, int],
    placed: Sequence[Box],
    boxes: Sequence[Box],
) -> Box | None:
    """At one of the box's corners, inside the picture, on no other label, and covering at most a
    quarter of any box; None where there is no such place. As the service draws it."""
    width, height = size
    for y in (box.y_min - height, box.y_min, box.y_max - height, box.y_max):
        for x in (box.x_min, box.x_max - width):
            left = min(max(x, 0.0), max(image[0] - width, 0.0))
            place = Box(left, y, left + width, y + height)
            if (
                0 <= y <= image[1] - height
                and not any(_overlap(place, other) for other in placed)
                and all(_overlap(place, b) <= COVERED * b.width * b.height for b in boxes)
            ):
                return place
    return None


def _overlap(a: Box, b: Box) -> float:
    """Area that both cover, in square pixels."""
    width = min(a.x_max, b.x_max) - max(a.x_min, b.x_min)
    height = min(a.y_max, b.y_max) - max(a.y_min, b.y_min)
    return max(width, 0.0) * max(height, 0.0)


def _colour(class_id: int) -> tuple[int, int, int]:
    """Neighbouring classes get distant hues: steps of the golden ratio around the colour wheel."""
    red, green, blue = colorsys.hsv_to_rgb((0.33 + class_id * 0.618034) % 1, 0.65, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
