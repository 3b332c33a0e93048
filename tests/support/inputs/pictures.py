"""Small pictures made for tests."""

import io
from typing import Any

from PIL import Image


def picture(
    width: int = 64,
    height: int = 48,
    kind: str = "JPEG",
    mode: str = "RGB",
    orientation: int = 1,
    **save: Any,
) -> bytes:
    """Left half red, right half blue, a white square in the upper left corner, as stored."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.paste((30, 30, 200), (width // 2, 0, width, height))
    image.paste((255, 255, 255), (0, 0, width // 4, height // 4))
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        save["exif"] = exif.tobytes()
    out = io.BytesIO()
    image.convert(mode).save(out, format=kind, **save)
    return out.getvalue()


def header_only(width: int, height: int) -> bytes:
    """A JPEG that says it has these pixels, and has none."""
    small = picture(16, 16)
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + small[at + 4 :]
