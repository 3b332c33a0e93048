"""An upload as a picture: which kind, how large, which way up. Usually only its header is read.

The model server decodes JPEG and PNG and knows nothing of EXIF, so a picture that is stored on its
side, and WebP, is decoded here and handed on as an upright JPEG. All else goes on as it came.
"""

import io
import struct
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import BadPicture, TooLarge, UnsupportedMedia
from .jpeg import size_and_orientation

FORMATS = ("JPEG", "PNG", "WEBP")
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")
# On photos a score moves by at most 0.004 at 100 and by 0.04 at 95; PNG would be exact, at ten
# times the time and twice the bytes.
QUALITY = 100

Image.MAX_IMAGE_PIXELS = None  # our own limit comes first, with a sentence of its own
Image.preinit()

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

# What Pillow raises on damaged headers and data; anything else is a bug and shows as one.
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error)


@dataclass(frozen=True, slots=True)
class Picture:
    """`data`: JPEG or PNG bytes for the model server, upright. Size in pixels, as shown."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Header:
    """What an upload says of itself. `orientation`: EXIF, 1 to 8; 1 is upright."""

    format: str
    width: int
    height: int
    orientation: int

    @property
    def as_is(self) -> bool:
        """True where the model server sees what a viewer shows."""
        return self.orientation == 1 and self.format != "WEBP"


def read_header(data: bytes, max_pixels: int) -> Header:
    """Raises BadPicture, UnsupportedMedia or TooLarge; decodes no pixel."""
    header = _header(data)
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise TooLarge(
            f"The picture has {header.width} x {header.height} = {pixels} pixels;"
            f" the limit is {max_pixels}."
        )
    return header


def _header(data: bytes) -> Header:
    plain = size_and_orientation(data)
    return Header("JPEG", *plain) if plain else _pillow_header(data)


def _pillow_header(data: bytes) -> Header:
    if not data:
        raise BadPicture("The picture is empty (0 bytes).")
    try:
        with _open(data) as image:
            kind = "JPEG" if image.format == "MPO" else str(image.format)  # a phone's two-in-one
            return Header(kind, *image.size, _orientation(image.info.get("exif", b"")))
    except PILLOW_ERRORS as error:
        raise BadPicture(f"The picture's header is damaged ({len(data)} bytes).") from error


def _orientation(exif_bytes: bytes) -> int:
    # Not getexif(): of a PNG that decodes all pixels, and it asks XMP too, which viewers do not.
    exif = Image.Exif()
    try:
        exif.load(exif_bytes)
        found = exif.get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return 1  # a viewer shows a picture whose EXIF cannot be read as it is stored
    return found if found in range(1, 9) else 1


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        kind = _other_kind(data)
        if kind:
            raise UnsupportedMedia(f"The picture is {kind}; send JPEG, PNG or WebP.") from error
        raise BadPicture(
            f"These {len(data)} bytes are not a picture: neither JPEG, PNG nor WebP."
        ) from error


def _other_kind(data: bytes) -> str | None:
    magics = {
        b"GIF8": "a GIF",
        b"BM": "a BMP",
        b"II*\0": "a TIFF",
        b"MM\0*": "a TIFF",
        b"%PDF": "a PDF",
        b"\0\0\1\0": "an icon",
        b"\0\0\0\x0cjP  ": "a JPEG 2000",
        b"\xff\x0a": "a JPEG XL",
    }
    if data[4:8] == b"ftyp":
        return {b"avif": "an AVIF", b"heic": "a HEIC", b"heix": "a HEIC"}.get(data[8:12], "a video")
    return next((kind for magic, kind in magics.items() if data.startswith(magic)), None)


def upright(data: bytes) -> Picture:
    """Decodes, turns as EXIF says, encodes again: tens of milliseconds, not on the event loop."""
    image = decode(data)
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=QUALITY, subsampling=0)
    return Picture(out.getvalue(), *image.size)


def decode(data: bytes) -> Image.Image:
    """The picture as a viewer shows it, RGB. Raises BadPicture where the pixels are damaged."""
    turn = TURNS.get(_header(data).orientation)
    try:
        with _open(data) as image:
            if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
                image = image.point(lambda value: value * (1 / 256)).convert("L")
            upright = image.transpose(turn) if turn is not None else image
            return upright.convert("RGB")
    except PILLOW_ERRORS as error:
        raise BadPicture("The picture's data is damaged or ends early.") from error
