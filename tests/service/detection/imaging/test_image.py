"""Which uploads are pictures, how large they are as shown, and which way up."""

import io
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from service.core.errors import BadPicture, TooLarge, UnsupportedMedia
from service.detection.imaging.image import check_pixels
from service.detection.imaging.pixels import decode
from tests.support.inputs.pictures import header_only, picture
from tests.support.oracles.two_decoders import header_of

LIMIT = 1_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_header_of_each_kind(kind: str) -> None:
    header = header_of(picture(60, 40, kind))
    assert (header.format, header.width, header.height) == (kind, 60, 40)
    assert header.as_is == (kind != "WEBP")


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_go_on_as_they_came(mode: str) -> None:
    assert header_of(picture(mode=mode)).as_is


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, this is text", "19 bytes are not a picture"),
        (picture()[:20], "not a picture|damaged"),
        (picture(kind="PNG")[:20], "damaged"),
        (b"\xff\xd8\xff" + b"\0" * 100, "not a picture|damaged"),
    ],
)
def test_not_a_picture(data: bytes, says: str) -> None:
    with pytest.raises(BadPicture, match=says):
        header_of(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_another_kind_is_named(kind: str) -> None:
    with pytest.raises(UnsupportedMedia, match=kind):
        header_of(picture(kind=kind))


def test_pixel_limit_is_exact_and_needs_no_decoding() -> None:
    check_pixels(header_of(header_only(1000, 1000)), LIMIT)
    with pytest.raises(TooLarge, match="1001 x 1000 = 1001000 pixels; the limit is 1000000"):
        check_pixels(header_of(header_only(1001, 1000)), LIMIT)
    with pytest.raises(TooLarge, match="30000 x 30000"):
        check_pixels(header_of(header_only(30_000, 30_000)), LIMIT)


@pytest.mark.parametrize("by", [2, 4, 8])
def test_a_jpeg_over_the_limit_gets_the_smallest_scale_that_fits(by: int) -> None:
    fits = check_pixels(header_of(header_only(1000 * by, 1000 * by)), LIMIT, downscale=True)
    assert (fits.scaled_by, fits.shown, fits.as_is) == (by, (1000 * by, 1000 * by), False)
    larger = header_of(header_only(1000 * by + 1, 1000 * by))
    if by < 8:
        assert check_pixels(larger, LIMIT, downscale=True).scaled_by == 2 * by
    else:
        with pytest.raises(TooLarge, match="limit is 1000000, for JPEG 64000000"):
            check_pixels(larger, LIMIT, downscale=True)
    within = header_of(header_only(1000, 1000))
    assert check_pixels(within, LIMIT, downscale=True) == within
    assert within.as_is


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_only_jpeg_is_scaled(kind: str) -> None:
    with pytest.raises(TooLarge, match="1001 x 1000"):
        check_pixels(header_of(picture(1001, 1000, kind)), LIMIT, downscale=True)


def test_zero_pixels_are_refused() -> None:
    with pytest.raises(BadPicture):
        header_of(header_only(0, 0))


def test_a_png_of_many_pixels_is_refused_by_its_header() -> None:
    """900 million pixels in a megabyte: decoding them would take seconds and gigabytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    size = (30_000).to_bytes(4, "big")
    pixels = zlib.compressobj()
    row = b"\0" * (1 + 3 * 30_000)
    data = b"".join(pixels.compress(row) for _ in range(3000)) + pixels.flush()
    header = chunk(b"IHDR", size + size + b"\x08\x02\0\0\0")
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    tracemalloc.start()
    with pytest.raises(TooLarge, match="30000 x 30000"):
        check_pixels(header_of(png), LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_only_in_xmp_is_ignored(kind: str) -> None:
    """Browsers do not turn by it; and what is detected must be what is drawn."""
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        data = picture(64, 48, kind, pnginfo=text)
    else:
        data = picture(64, 48, kind, xmp=xmp)
    assert b"Orientation" in data
    assert header_of(data).orientation == 1
    assert decode(data, header_of(data)).size == (64, 48)


def test_of_two_exif_segments_everybody_reads_the_same() -> None:
    first, second = (picture(64, 48, orientation=o) for o in (6, 3))
    end = 4 + int.from_bytes(second[4:6], "big")  # SOI and its APP1
    both = first[:2] + second[2:end] + first[2:]
    header = header_of(both)
    expected = (64, 48) if header.orientation < 5 else (48, 64)
    assert decode(both, header_of(both)).size == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_does_not_cost_the_picture(kind: str) -> None:
    data = picture(64, 48, kind, exif=b"Exif\0\0\xff\xff\xff\xff\0\0\0\x08")
    header = header_of(data)
    assert (header.width, header.height, header.orientation) == (64, 48, 1)
    assert decode(data, header_of(data)).size == (64, 48)


@pytest.mark.filterwarnings("ignore")
def test_no_file_of_the_corpus_that_pillow_decodes_is_refused(data: Path) -> None:
    decoded = 0
    for path in sorted((data / "jpeg-corpus").rglob("*.*")):
        content = path.read_bytes()
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
                image.load()
        except (OSError, SyntaxError, ValueError):
            continue
        decoded += 1
        assert header_of(content), path
    assert decoded > 100
