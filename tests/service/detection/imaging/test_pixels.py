"""Pictures decoded, turned upright and encoded again."""

import io
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from service.core.errors import BadPicture, TooLarge
from service.detection.imaging.image import Header
from service.detection.imaging.pixels import (
    MOST_ENCODED_BYTES,
    decode,
    encode,
    normalize_orientation,
    reduction,
    verify,
)
from tests.support.inputs.pictures import picture
from tests.support.oracles.two_decoders import header_of
from tests.support.project import ROOT


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_is_handed_on_as_shown(kind: str, orientation: int) -> None:
    data = picture(64, 48, kind, orientation=orientation)
    header = header_of(data)
    assert header.orientation == orientation
    assert not header.as_is
    turned = normalize_orientation(data, header_of(data))
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
    before, after = (
        decode(data, header_of(data)),
        Image.open(io.BytesIO(normalize_orientation(data, header_of(data)).data)),
    )
    pairs = zip(before.tobytes(), after.convert("RGB").tobytes(), strict=True)
    differences = [abs(a - b) for a, b in pairs]
    assert max(differences) <= 3
    assert sum(differences) / len(differences) < 0.5


def test_damaged_pixels_are_the_pictures_fault() -> None:
    damaged = picture(400, 300)[:900]
    with pytest.raises(BadPicture, match="damaged or ends early"):
        decode(damaged, header_of(damaged))


@pytest.mark.parametrize("orientation", [1, 6])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(orientation: int) -> None:
    ramp = Image.linear_gradient("L")
    wide = ramp.convert("I").point(lambda value: value * 257).convert("I;16")
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    wide.save(out, "PNG", exif=exif.tobytes())
    assert header_of(out.getvalue()).orientation == orientation
    found = decode(out.getvalue(), header_of(out.getvalue())).convert("L").tobytes()
    assert sum(found) / len(found) == pytest.approx(127.5, abs=1)


def without_palette() -> bytes:
    out = io.BytesIO()
    Image.new("P", (16, 16)).save(out, "PNG", transparency=0)
    data = out.getvalue()
    start = data.index(b"PLTE") - 4
    return data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :]


def test_a_palette_picture_without_a_palette_is_a_bad_picture() -> None:
    """Pillow raises AssertionError, which is no reason for a 500."""
    with pytest.raises(BadPicture, match="damaged"):
        decode(without_palette(), header_of(without_palette()))


@pytest.mark.parametrize("error", [AssertionError, MemoryError, RecursionError, OverflowError])
def test_whatever_pillow_raises_is_a_bad_picture(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error("out of the decoder")

    data = picture()
    header = header_of(data)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    for work in (decode, verify, normalize_orientation):
        with pytest.raises(BadPicture, match="damaged or ends early"):
            work(data, header)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_side_that_no_jpeg_can_have_is_too_large(orientation: int) -> None:
    data = picture(70_000, 10, "PNG", orientation=orientation)
    with pytest.raises(TooLarge, match=r"70000 x 10 pixels.*at most 65535"):
        normalize_orientation(data, header_of(data))


@pytest.mark.parametrize(
    ("kind", "size", "by"),
    [
        ("JPEG", (4032, 3024), 1),  # a phone's photo keeps every pixel
        ("JPEG", (4608, 3072), 2),
        ("JPEG", (6145, 6145), 4),
        ("PNG", (4608, 3072), 2),
        ("JPEG", (16_000, 1000), 1),
    ],
)
def test_a_large_picture_is_decoded_at_a_fraction_of_its_size(
    kind: str, size: tuple[int, int], by: int
) -> None:
    data = picture(*size, kind, orientation=6)
    turned = normalize_orientation(data, header_of(data))
    assert (turned.width, turned.height) == tuple(-(-side // by) for side in reversed(size))
    with Image.open(io.BytesIO(turned.data)) as sent:
        assert sent.size == (turned.width, turned.height)
        pixel = sent.getpixel((turned.width - 9, 9))  # the white corner, turned to the right
    assert isinstance(pixel, tuple)
    assert min(pixel) > 200


def test_a_side_shorter_than_the_scale() -> None:
    data = picture(5, 900)
    header = replace(header_of(data), scaled_by=8)
    assert decode(data, header).size == (1, 113)


MEASURE = """
import sys
from dataclasses import replace
from service.__main__ import tune_malloc
from service.detection.imaging import image, pixels
tune_malloc()
def resident(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) * 1024
for size in (int(sys.argv[2]), -1):  # a small picture first: code takes memory too
    data = sys.stdin.buffer.read(size)
    header = image.plain_header(data) or image.pillow_header(data)
    header = image.check_pixels(header, int(sys.argv[1]), downscale=True)
    open("/proc/self/clear_refs", "w").write("5")  # from here on, VmHWM counts anew
    before = resident("VmRSS")
    pixels.normalize_orientation(data, header)
print(resident("VmHWM") - before, pixels.decoding_bytes(header))
"""


@pytest.mark.parametrize(
    ("kind", "mode", "save", "limit"),
    [
        ("JPEG", "RGB", {}, 12_000_000),
        ("JPEG", "CMYK", {}, 12_000_000),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}, 12_000_000),
        ("JPEG", "RGB", {}, 3_000_000),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}, 200_000),
        ("PNG", "RGBA", {}, 12_000_000),
        ("PNG", "P", {}, 12_000_000),
        ("WEBP", "RGB", {}, 12_000_000),
        ("WEBP", "RGBA", {"lossless": True, "method": 0}, 12_000_000),
    ],
)
def test_decoding_takes_no_more_memory_than_is_reserved(
    kind: str, mode: str, save: dict[str, object], limit: int
) -> None:
    data = [picture(w, 3 * w // 4, kind, mode, orientation=6, **save) for w in (40, 4000)]
    command = [sys.executable, "-c", MEASURE, str(limit), str(len(data[0]))]
    run = subprocess.run(command, cwd=ROOT, input=b"".join(data), capture_output=True, check=True)
    peak, reserved = map(int, run.stdout.split())
    assert 0.3 * reserved < peak < 1.05 * reserved + 8 * 2**20


@pytest.mark.parametrize(
    ("width", "height", "by"),
    [(4032, 3024, 1), (5333, 3000, 1), (5334, 3000, 2), (16_000, 3000, 2), (16_000, 4001, 4)],
)
def test_of_a_panorama_at_most_16_megapixels_remain(width: int, height: int, by: int) -> None:
    """Encoded again, 48 megapixels had up to 150 MB, which stalled the event loop for 100 ms."""
    assert reduction(Header("JPEG", width, height, 6, 0)) == by


def test_noise_is_encoded_at_a_lower_quality() -> None:
    noise = Image.frombytes("RGB", (3000, 2900), os.urandom(3000 * 2900 * 3))
    data = encode(noise, 95)
    turned = normalize_orientation(data, replace(header_of(data), orientation=3))
    assert len(turned.data) < MOST_ENCODED_BYTES
    assert (turned.width, turned.height) == (3000, 2900)
