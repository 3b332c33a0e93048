"""A picture as a model server takes it: an upright JPEG or PNG within the pixel limit.

The same steps, limits and sentences as in the gateway (service/detection), so that a job's rows do
not depend on the way. Takes milliseconds to seconds: not on the event loop.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError, features

from ....errors import DetectError, InvalidPicture
from . import jpeg

HEIF = find_spec("pillow_heif") is not None
AVIF = features.check("avif")
FORMATS = ("JPEG", "PNG", "WEBP", *(["AVIF"] if AVIF else []))
LARGE_WEBP_PIXELS = 4_000_000
_WORDS = ["JPEG", "PNG", "WebP", *(["AVIF"] if AVIF else []), *(["HEIC"] if HEIF else [])]
ACCEPTED = f"{', '.join(_WORDS[:-1])} or {_WORDS[-1]}"
DAMAGED = "The picture's data is damaged or ends early."
MAX_PIXELS = 50_000_000
MAX_JPEG_SIDE = 65_535  # ITU-T T.81, B.2.2: 16 bits
# The shorter side that decoding at a half, a quarter or an eighth leaves, pixels.
KEPT_SIDE, KEPT_PIXELS = 1536, 16_000_000  # a panorama is reduced to the latter
QUALITY = 100  # on photos a score moves by at most 0.004
MOST_ENCODED_BYTES, LOWER_QUALITY = 16 * 1024 * 1024, 90

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Of other files, by their first bytes, or by the brand of an ISO base media file.
MAGICS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"\0\0\1\0": "an icon",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x0a": "a JPEG XL",
}
_AVIF = "a damaged AVIF" if AVIF else "an AVIF, which this Pillow does not read"
_HEIC = "a damaged HEIC" if HEIF else "a HEIC, which is read only where pillow-heif is installed"
BRANDS = dict.fromkeys((b"avif", b"avis"), _AVIF) | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), _HEIC
)

Image.MAX_IMAGE_PIXELS = None  # `read_header` has a limit and a sentence of its own


class Header(NamedTuple):
    """Size in pixels as stored. `orientation`: EXIF, 1 to 8; 1 is upright."""

    format: str
    width: int
    height: int
    orientation: int

    @property
    def as_is(self) -> bool:
        """Whether a model server takes the bytes themselves."""
        return self.orientation == 1 and self.format in ("JPEG", "PNG")

    @property
    def isolated(self) -> bool:
        """Whether the gateway decodes it in a process of its own, at its full size."""
        large = self.width * self.height > LARGE_WEBP_PIXELS
        return self.format in ("AVIF", "HEIF") or (self.format == "WEBP" and large)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as a viewer shows it."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def reduction(self) -> int:
        """1, 2, 4 or 8: the largest that leaves KEPT_SIDE pixels of the shorter side, or what
        KEPT_PIXELS requires."""
        if self.isolated:
            return 1
        side, pixels = min(self.width, self.height), self.width * self.height
        return max(
            by
            for by in (1, 2, 4, 8)
            if by == 1 or side >= by * KEPT_SIDE or pixels > (by / 2) ** 2 * KEPT_PIXELS
        )


class Picture(NamedTuple):
    """`data`: JPEG or PNG, upright. Size in pixels, perhaps reduced."""

    data: bytes
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Raises InvalidPicture."""
    plain = jpeg.read_header(data)
    header = Header("JPEG", *plain) if plain else _pillow_header(data)
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise InvalidPicture(
            f"The picture has {header.width} x {header.height} = {pixels} pixels;"
            f" the limit is {MAX_PIXELS}."
        )
    return header


def _pillow_header(data: bytes) -> Header:
    if not data:
        raise InvalidPicture("The picture is empty (0 bytes).")
    with _refusals(f"The picture's header is damaged ({len(data)} bytes)."), _open(data) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # JPEG with more pictures
        return Header(kind, *image.size, _orientation(image.info.get("exif", b"")))


def verify(data: bytes, header: Header) -> None:
    """Raises InvalidPicture where the pixels are damaged."""
    with _refusals(DAMAGED), _open(data) as image:
        _draft(image, header)
        image.load()


def encode(data: bytes, header: Header) -> Picture:
    """An upright JPEG that every decoder takes. Raises InvalidPicture."""
    if max(header.width, header.height) > MAX_JPEG_SIDE:
        raise InvalidPicture(
            f"The picture has {header.width} x {header.height} pixels, and has to be encoded as"
            f" JPEG, whose sides have at most {MAX_JPEG_SIDE}."
        )
    damaged = DAMAGED
    if header.isolated:
        damaged = "The picture's data is damaged, or larger than its header says."
    with _refusals(damaged), _open(data) as image:
        _draft(image, header)
        by = header.reduction // round(max(header.width, header.height) / max(image.size))
        upright = _rgb(image)
        upright = upright.reduce(by) if by > 1 else upright
        if header.orientation in TURNS:
            upright = upright.transpose(TURNS[header.orientation])
    encoded = _jpeg(upright, QUALITY, subsampling=0)
    if len(encoded) > MOST_ENCODED_BYTES:
        encoded = _jpeg(upright, LOWER_QUALITY, subsampling=2)
    return Picture(encoded, *upright.size)


def _jpeg(image: Image.Image, quality: int, subsampling: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def _draft(image: Image.Image, header: Header) -> None:
    """Has a JPEG decoded at its reduced size; does nothing to other formats."""
    by = header.reduction
    image.draft(None, (max(1, image.width // by), max(1, image.height // by)))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    image.load()
    return image.convert("RGB")


def _orientation(exif_bytes: bytes) -> int:
    # Not getexif(): of a PNG that decodes all pixels, and it asks XMP too, which viewers do not.
    exif = Image.Exif()
    orientation = 1
    with suppress(Exception):  # of damaged EXIF Pillow raises nearly anything
        exif.load(exif_bytes)
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


@contextmanager
def _refusals(sentence: str) -> Iterator[None]:
    """Whatever Pillow raises on a picture, as InvalidPicture."""
    try:
        yield
    except DetectError:
        raise
    except _TooManyReads as error:
        raise InvalidPicture("The picture has too many segments or chunks for its size.") from error
    except Exception as error:  # of a damaged file Pillow raises nearly anything
        raise InvalidPicture(sentence) from error


class _TooManyReads(Exception):
    pass


class _BoundedReader(io.BytesIO):
    """Pillow reads a few times for each segment or chunk: 20 MB of empty ones take seconds."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = 4096 + len(data) // 512

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _TooManyReads
        return super().read(size)


def _open(data: bytes) -> Image.Image:
    formats: tuple[str, ...] = FORMATS
    if HEIF and data[4:8] == b"ftyp":
        formats = (*FORMATS, _heif())
    try:
        return Image.open(_BoundedReader(data), formats=formats)
    except UnidentifiedImageError as error:
        kind = next((kind for magic, kind in MAGICS.items() if data.startswith(magic)), None)
        if data[4:8] == b"ftyp":
            kind = BRANDS.get(data[8:12], "a video")
        if kind is None:
            sentence = f"These {len(data)} bytes are not a picture; send {ACCEPTED}."
        elif "damaged" in kind:
            sentence = f"The picture is {kind}."
        else:
            sentence = f"The picture is {kind}; send {ACCEPTED}."
        raise InvalidPicture(sentence) from error


@cache
def _heif() -> str:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)
    return "HEIF"
