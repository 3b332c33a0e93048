"""Which uploads are pictures, how large they are as shown, and which way up."""

import io
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from service.detection.image import decode, read_header, upright
from service.errors import BadPicture, TooLarge, UnsupportedMedia
from tests.support.pictures import header_only, picture

LIMIT = 1_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_header_of_each_kind(kind: str) -> None:
    header = read_header(picture(60, 40, kind), LIMIT)
    assert (header.format, header.width, header.height) == (kind, 60, 40)
    assert header.as_is == (kind != "WEBP")


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_go_on_as_they_came(mode: str) -> None:
    assert read_header(picture(mode=mode), LIMIT).as_is


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_handed_on_as_shown(kind: str, orientation: int) -> None:
    data = picture(64, 48, kind, orientation=orientation)
    header = read_header(data, LIMIT)
    assert header.orientation == orientation
    assert not header.as_is
    turned = upright(data)
    assert (turned.width, turned.height) == ((64, 48) if orientation < 5 else (48, 64))
    sent = Image.open(io.BytesIO(turned.data))
    assert sent.format == "JPEG"
    assert sent.size == (turned.width, turned.height)
    assert 0x0112 not in sent.getexif()
    # The white corner, as stored at the upper left, where EXIF's definition puts it.
    corner = {2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    x = 4 if corner[1] == "l" else turned.width - 5
    y = 4 if corner[0] == "t" else turned.height - 5
    pixel = sent.getpixel((x, y))
    assert isinstance(pixel, tuple)
    assert min(pixel) > 200


def test_reencoding_keeps_the_pixels() -> None:
    data = picture(200, 100, "WEBP", lossless=True)
    before, after = decode(data), Image.open(io.BytesIO(upright(data).data))
    pairs = zip(before.tobytes(), after.convert("RGB").tobytes(), strict=True)
    differences = [abs(a - b) for a, b in pairs]
    assert max(differences) <= 3
    assert sum(differences) / len(differences) < 0.5


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
        read_header(data, LIMIT)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_another_kind_is_named(kind: str) -> None:
    with pytest.raises(UnsupportedMedia, match=kind):
        read_header(picture(kind=kind), LIMIT)


def test_pixel_limit_is_exact_and_needs_no_decoding() -> None:
    assert read_header(header_only(1000, 1000), LIMIT).width == 1000
    with pytest.raises(TooLarge, match="1001 x 1000 = 1001000 pixels; the limit is 1000000"):
        read_header(header_only(1001, 1000), LIMIT)
    with pytest.raises(TooLarge, match="30000 x 30000"):
        read_header(header_only(30_000, 30_000), LIMIT)


def test_zero_pixels_are_refused() -> None:
    with pytest.raises(BadPicture):
        read_header(header_only(0, 0), LIMIT)


def test_damaged_pixels_are_the_pictures_fault() -> None:
    with pytest.raises(BadPicture, match="damaged or ends early"):
        decode(picture(400, 300)[:900])


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
        read_header(png, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_in_xmp_alone_is_nobodys(kind: str) -> None:
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
    assert read_header(data, LIMIT).orientation == 1
    assert decode(data).size == (64, 48)


def test_of_two_exif_segments_everybody_reads_the_same() -> None:
    first, second = (picture(64, 48, orientation=o) for o in (6, 3))
    end = 4 + int.from_bytes(second[4:6], "big")  # SOI and its APP1
    both = first[:2] + second[2:end] + first[2:]
    header = read_header(both, LIMIT)
    expected = (64, 48) if header.orientation < 5 else (48, 64)
    assert decode(both).size == expected


@pytest.mark.parametrize("orientation", [1, 6])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(orientation: int) -> None:
    ramp = Image.linear_gradient("L")
    wide = ramp.convert("I").point(lambda value: value * 257).convert("I;16")
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    wide.save(out, "PNG", exif=exif.tobytes())
    assert read_header(out.getvalue(), LIMIT).orientation == orientation
    found = decode(out.getvalue()).convert("L").tobytes()
    assert sum(found) / len(found) == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_does_not_cost_the_picture(kind: str) -> None:
    data = picture(64, 48, kind, exif=b"Exif\0\0\xff\xff\xff\xff\0\0\0\x08")
    header = read_header(data, LIMIT)
    assert (header.width, header.height, header.orientation) == (64, 48, 1)
    assert decode(data).size == (64, 48)


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
        assert read_header(content, 10**9), path
    assert decoded > 100
