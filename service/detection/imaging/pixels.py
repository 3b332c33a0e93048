"""Decoding and encoding pictures with Pillow. Takes milliseconds to seconds: not on the event loop.

Large pictures are decoded at a half, a quarter or an eighth of their size: what the model looks at
(its input) and what a person looks at (a screen) is smaller still.
"""

import io
from dataclasses import dataclass

from PIL import Image

from ...core.errors import TooLarge
from .image import ISOLATED, SCALES, Header, bad_picture, open_image

# The shorter side that remains, pixels: more than twice the 608 of YOLOv4's usual input. A photo of
# 12 megapixels (4032 x 3024) keeps all its pixels, and of a panorama as many remain.
KEPT_SIDE = 1536
KEPT_PIXELS = 16_000_000
MAX_JPEG_SIDE = 65_535  # ITU-T T.81, B.2.2: 16 bits
# On photos a score moves by at most 0.004 at 100 and by 0.04 at 95; PNG would be exact, at ten
# times the time and twice the bytes.
QUALITY = 100
# Of noise that would be 65 MB, which gRPC copies on the event loop; at LOWER_QUALITY it has at most
# one byte a pixel.
MOST_ENCODED_BYTES, LOWER_QUALITY = 16 * 1024 * 1024, 90
DAMAGED = "The picture's data is damaged or ends early."
# Pillow's RGB, and what turning or converting it makes of it. Of WebP, libwebp has two canvases,
# hands out a third, and takes a little more for a lossless one.
PIXEL_BYTES, WEBP_PIXEL_BYTES = 4, 18
# Of AVIF and HEIC at most 16 bits in each of the planes, RGBA, Pillow's RGB and it turned. And the
# process that decodes them, with its libraries.
ISOLATED_PIXEL_BYTES, ISOLATED_BYTES = 20, 64 * 1024 * 1024

# What makes a picture of each EXIF orientation upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """`data`: JPEG or PNG bytes for the model server, upright. Size in pixels, perhaps reduced."""

    data: bytes
    width: int
    height: int


def reduction(header: Header) -> int:
    """1, 2, 4 or 8: the largest that leaves KEPT_SIDE pixels of the shorter side, or what
    KEPT_PIXELS or the pixel limit requires."""
    if header.isolated:
        return 1
    side, pixels = min(header.width, header.height), header.width * header.height
    return max(
        by
        for by in SCALES
        if by == header.scaled_by
        or side >= by * KEPT_SIDE
        or pixels > (by / 2) ** 2 * KEPT_PIXELS  # half of it is not enough
    )


def decoding_bytes(header: Header) -> int:
    """Memory that `decode` takes at its peak."""
    pixels = header.width * header.height
    process = ISOLATED_BYTES if header.isolated else 0
    if header.format in ISOLATED:
        return process + ISOLATED_PIXEL_BYTES * pixels
    if header.format == "WEBP":
        return process + WEBP_PIXEL_BYTES * pixels
    decoded = PIXEL_BYTES * pixels
    if header.format == "JPEG":
        decoded //= reduction(header) ** 2
    return decoded + max(decoded, header.coefficient_bytes * pixels)


def decode(data: bytes, header: Header) -> Image.Image:
    """The picture as a viewer shows it, RGB, its sides divided by `reduction(header)`.

    Raises BadPicture where the pixels are damaged, TooLarge where no JPEG can be made of them.
    """
    if max(header.width, header.height) > MAX_JPEG_SIDE:
        raise TooLarge(
            f"The picture has {header.width} x {header.height} pixels, and has to be encoded as"
            f" JPEG, whose sides have at most {MAX_JPEG_SIDE}."
        )
    with bad_picture(DAMAGED), open_image(data) as image:
        _draft(image, header)
        by = reduction(header) // round(max(header.width, header.height) / max(image.size))
        return _turned(_reduced(_rgb(image), by), header.orientation)


def verify(data: bytes, header: Header) -> None:
    """Raises BadPicture where the pixels are damaged."""
    with bad_picture(DAMAGED), open_image(data) as image:
        # Not at an eighth, which would be quicker: libjpeg then refuses some undamaged pictures.
        _draft(image, header)
        image.load()


def _draft(image: Image.Image, header: Header) -> None:
    """Has a JPEG decoded at its reduced size; does nothing to other formats."""
    by = reduction(header)
    image.draft(None, (max(1, image.width // by), max(1, image.height // by)))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode == "RGB":
        image.load()
        return image
    converted = image.convert("RGB")
    image.close()  # frees its pixels
    return converted


def _reduced(image: Image.Image, by: int) -> Image.Image:
    return image.reduce(by) if by > 1 else image


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def normalize_orientation(data: bytes, header: Header) -> Picture:
    """An upright JPEG that every decoder takes. Raises as `decode`."""
    image = decode(data, header)
    encoded = encode(image, QUALITY, subsampling=0)
    if len(encoded) > MOST_ENCODED_BYTES:
        encoded = encode(image, LOWER_QUALITY)
    return Picture(encoded, *image.size)


def encode(image: Image.Image, quality: int, subsampling: int = 2) -> bytes:
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()
