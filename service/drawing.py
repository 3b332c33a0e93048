"""Detections drawn on their picture: boxes and labels that can be read on any background."""

import colorsys
import io
from collections.abc import Sequence
from functools import cache

from PIL import ImageDraw, ImageFont

from .detector import Detection
from .image import decode

QUALITY = 90


def draw(data: bytes, detections: Sequence[Detection]) -> bytes:
    """The upload with its detections, as JPEG bytes. Decodes and encodes: not on the event loop."""
    image = decode(data)
    pen = ImageDraw.Draw(image)
    short = min(image.size)
    line = max(2, short // 200)
    font = _font(max(12, short // 32))
    for d in reversed(detections):  # the best last, on top
        colour = _colour(d.class_id)
        box = d.box
        pen.rectangle((box.x_min, box.y_min, box.x_max, box.y_max), outline=colour, width=line)
        text = f"{d.label} {d.score:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        pad = line + 1
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        # Above the box where there is room, else inside it; never off the picture.
        x = min(max(box.x_min, 0), max(image.width - width, 0))
        y = box.y_min - height + line if box.y_min >= height - line else box.y_min
        y = min(y, max(image.height - height, 0))
        pen.rectangle((x, y, x + width, y + height), fill=colour)
        pen.text((x + pad - left, y + pad - top), text, font=font, fill=_ink(colour))
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=QUALITY)
    return out.getvalue()


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
