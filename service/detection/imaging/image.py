"""An upload's header: its format, size in pixels and EXIF orientation. No pixel is decoded.

A plain JPEG's header is read by jpeg.py in microseconds, on the event loop; all else is Pillow's,
in a thread. The number of segments or chunks that either looks at is limited.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec

from PIL import ExifTags, Image, UnidentifiedImageError, features

from ...core.errors import BadPicture, DetectError, TooLarge, UnsupportedMedia
from . import jpeg

AVIF = features.check("avif")
HEIF = find_spec("pillow_heif") is not None
FORMATS = ("JPEG", "PNG", "WEBP", *(["AVIF"] if AVIF else []))
ISOLATED = {"AVIF", "HEIF"}
# Pillow copies a decoded WebP of 4 bytes a pixel while it holds the GIL: 10 ms at this size.
LARGE_WEBP_PIXELS = 4_000_000
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", *(["image/avif"] if AVIF else []))
SCALES = (1, 2, 4, 8)  # libjpeg decodes at 1/1, 1/2, 1/4 and 1/8 of each side
OPTIONAL_TYPES = {"image/avif", "image/heic", "image/heif"}
_WORDS = ["JPEG", "PNG", "WebP", *(["AVIF"] if AVIF else []), *(["HEIC"] if HEIF else [])]
ACCEPTED = f"{', '.join(_WORDS[:-1])} or {_WORDS[-1]}"

Image.MAX_IMAGE_PIXELS = None  # `check_pixels` comes first, with a sentence of its own
Image.preinit()


@dataclass(frozen=True, slots=True)
class Header:
    """The properties of an upload, from its header. `orientation`: EXIF, 1 to 8; 1 is upright.

    `coefficient_bytes`: what a decoder buffers for each pixel before it has one (progressive JPEG).
    `scaled_by`: what a JPEG over the pixel limit is divided by, in each direction: 2, 4 or 8.
    """

    format: str
    width: int
    height: int
    orientation: int
    coefficient_bytes: int
    scaled_by: int = 1

    @property
    def as_is(self) -> bool:
        """Whether the model server gets the upload itself: it reads only JPEG and PNG, and knows
        neither EXIF nor the pixel limit."""
        upright = self.orientation == 1 and self.format in ("JPEG", "PNG")
        return upright and self.scaled_by == 1

    @property
    def isolated(self) -> bool:
        """Whether it is decoded in a process of its own, by isolated.py."""
        large = self.width * self.height > LARGE_WEBP_PIXELS
        return self.format in ISOLATED or (self.format == "WEBP" and large)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height once the orientation is applied."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)


def plain_header(data: bytes) -> Header | None:
    """The header of a plain JPEG; None for all else. Microseconds, whatever is sent."""
    plain = jpeg.read_header(data)
    return Header("JPEG", *plain) if plain else None


def pillow_header(data: bytes) -> Header:
    """Any header. Raises BadPicture or UnsupportedMedia. Not on the event loop."""
    if not data:
        raise BadPicture("The picture is empty (0 bytes).")
    damaged = f"The picture's header is damaged ({len(data)} bytes)."
    with bad_picture(damaged), open_image(data) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # JPEG with more pictures
        orientation = _orientation(image.info.get("exif", b""))
        return Header(kind, *image.size, orientation, jpeg.MOST_BYTES if kind == "JPEG" else 0)


@contextmanager
def bad_picture(sentence: str) -> Iterator[None]:
    """Whatever Pillow raises on a picture, as BadPicture."""
    try:
        yield
    except DetectError:
        raise
    except TooManyReads as error:
        raise BadPicture("The picture has too many segments or chunks for its size.") from error
    except Exception as error:  # of a damaged file Pillow raises nearly anything
        raise BadPicture(sentence) from error


def check_pixels(header: Header, max_pixels: int, downscale: bool = False) -> Header:
    """The header, with the `scaled_by` at which the picture has at most `max_pixels` pixels.
    Raises TooLarge for other pictures over the limit: all of them unless `downscale`."""
    pixels = header.width * header.height
    scales = SCALES if downscale and header.format == "JPEG" else (1,)
    for by in scales:
        if pixels <= by**2 * max_pixels:
            return replace(header, scaled_by=by) if by > 1 else header
    jpegs = f", for JPEG {SCALES[-1] ** 2 * max_pixels}" if downscale else ""
    raise TooLarge(
        f"The picture has {header.width} x {header.height} = {pixels} pixels;"
        f" the limit is {max_pixels}{jpegs}."
    )


def _orientation(exif_bytes: bytes) -> int:
    # Not getexif(): of a PNG that decodes all pixels, and it asks XMP too, which viewers do not.
    exif = Image.Exif()
    try:
        exif.load(exif_bytes)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # as above; a viewer then shows the picture as it is stored
        return 1
    return orientation if orientation in range(1, 9) else 1


class TooManyReads(Exception):
    """Not an OSError: Pillow must not take it for the end of a file."""


class BoundedReader(io.BytesIO):
    """The file as Pillow sees it. Pillow reads a few times for each segment or chunk, in Python, so
    that 20 MB of empty ones would take seconds; real pictures have one for every few kilobytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = 4096 + len(data) // 512

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise TooManyReads
        return super().read(size)


def open_image(data: bytes) -> Image.Image:
    """Pillow's picture, not decoded yet."""
    formats: tuple[str, ...] = FORMATS
    if HEIF and data[4:8] == b"ftyp":
        formats = (*FORMATS, _heif())
    try:
        return Image.open(BoundedReader(data), formats=formats)
    except UnidentifiedImageError as error:
        kind = _other_kind(data)
        if kind and "damaged" in kind:
            raise BadPicture(f"The picture is {kind}.") from error
        if kind:
            raise UnsupportedMedia(f"The picture is {kind}; send {ACCEPTED}.") from error
        raise BadPicture(f"These {len(data)} bytes are not a picture; send {ACCEPTED}.") from error


@cache
def _heif() -> str:
    """Registers the format. At its first picture only: the library costs every other one memory."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    pillow_heif.options.DECODE_THREADS = 1
    return "HEIF"


# Of ISO base media files, by their major brand. One that Pillow can read comes here damaged.
_HEIC = "a damaged HEIC" if HEIF else "a HEIC, which is read only where pillow-heif is installed"
_AVIF = "a damaged AVIF" if AVIF else "an AVIF, which this Pillow does not read"
BRANDS = dict.fromkeys((b"avif", b"avis"), _AVIF) | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), _HEIC
)


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
        return BRANDS.get(data[8:12], "a video")
    return next((kind for magic, kind in magics.items() if data.startswith(magic)), None)
