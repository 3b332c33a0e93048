"""Detections drawn on their picture with Pillow."""

from __future__ import annotations

import colorsys
import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from .results import Result


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
        colour = _colour(d.class_id)
        pen.rectangle(tuple(d.box), outline=colour, width=line)
        text = f"{d.label} {d.score:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font, stroke_width=outline)
        y = d.box.y_min - (bottom - top) if d.box.y_min > bottom - top else d.box.y_min
        x = min(d.box.x_min, max(0.0, image.width - (right - left)))
        pen.text((x - left, y - top), text, colour, font, stroke_width=outline, stroke_fill="black")
    return image


def _colour(class_id: int) -> tuple[int, int, int]:
    """Neighbouring classes get distant hues: steps of the golden ratio around the colour wheel."""
    red, green, blue = colorsys.hsv_to_rgb((0.33 + class_id * 0.618034) % 1, 0.65, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
