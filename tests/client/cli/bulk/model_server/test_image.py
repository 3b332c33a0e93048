"""The worker prepares a picture exactly as the gateway does: same bytes, same sentences."""

import io
import struct
import time
import warnings
import zlib
from pathlib import Path

import pytest
from detect_client.cli.bulk.model_server import image as ours
from detect_client.errors import InvalidPicture
from PIL import Image

from service.core.errors import DetectError
from service.detection.imaging import image, isolated, pixels
from tests.support.inputs.pictures import header_only, picture


def grey_of_16_bits() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("I").point(lambda v: v * 257).convert("I;16").save(
        out, "PNG"
    )
    return out.getvalue()


def noise(width: int, height: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    channels = [Image.effect_noise((width, height), 200) for _ in "RGB"]
    out = io.BytesIO()
    Image.merge("RGB", channels).save(out, "JPEG", quality=90, exif=exif.tobytes())
    return out.getvalue()


PICTURES = {
    **{f"EXIF {n}": picture(70, 40, orientation=n) for n in range(1, 9)},
    "PNG": picture(kind="PNG"),
    "PNG with EXIF": picture(kind="PNG", orientation=6),
    "PNG of 16 bits": grey_of_16_bits(),
    "CMYK": picture(mode="CMYK"),
    "grey": picture(mode="L"),
    "progressive": picture(progressive=True),
    "WebP": picture(kind="WEBP"),
    "WebP with EXIF": picture(kind="WEBP", orientation=8),
    "AVIF": picture(kind="AVIF"),
    "large and turned": picture(3300, 3200, orientation=6),
    "panorama, turned": picture(20_000, 1000, orientation=6),
    "large WebP": picture(2100, 2000, kind="WEBP"),
    "GIF": picture(kind="GIF"),
    "BMP": picture(kind="BMP"),
    "TIFF": picture(kind="TIFF"),
    "empty": b"",
    "text": b"rubbish",
    "truncated": picture(400, 400, quality=95)[:3000],
    "truncated and turned": picture(400, 400, quality=95, orientation=3)[:3000],
    "truncated WebP": picture(400, 400, kind="WEBP", orientation=3, quality=95)[:500],
    "truncated AVIF": picture(400, 400, kind="AVIF")[:300],
    "too many pixels": header_only(60_000, 1000),
    "too long a side, turned": picture(70_000, 10, kind="PNG", orientation=6),
    "HEIC in name only": b"\0\0\0\x18ftypheic" + bytes(60),
    "video": b"\0\0\0\x18ftypmp42" + bytes(60),
    "many chunks": picture(kind="PNG")[:33]
    + 9000 * (struct.pack(">I", 0) + b"teXt" + struct.pack(">I", zlib.crc32(b"teXt"))),
}


def gateway(data: bytes) -> tuple[object, ...]:
    """What the gateway sends on, or the sentence of its refusal."""
    try:
        header = image.plain_header(data) or image.pillow_header(data)
        image.check_pixels(header, ours.MAX_PIXELS)
        if header.as_is:
            pixels.verify(data, header)
            return data, *header.shown
        if header.isolated:
            made = isolated.to_jpeg(data, header, time.perf_counter() + 30)
        else:
            made = pixels.normalize_orientation(data, header)
        return made.data, *header.shown
    except DetectError as error:
        return (str(error),)


def worker(data: bytes) -> tuple[object, ...]:
    try:
        header = ours.read_header(data)
        if header.as_is:
            ours.verify(data, header)
            return data, *header.shown
        return ours.encode(data, header).data, *header.shown
    except InvalidPicture as error:
        return (str(error),)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture(name: str) -> None:
    if "AVIF" in name and not image.AVIF:
        pytest.skip("this Pillow has no AVIF")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert worker(PICTURES[name]) == gateway(PICTURES[name])


def test_what_would_be_too_large_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = noise(300, 200)
    at_most = (ours.KEPT_SIDE, ours.KEPT_PIXELS, ours.QUALITY, ours.MOST_ENCODED_BYTES)
    theirs = (pixels.KEPT_SIDE, pixels.KEPT_PIXELS, pixels.QUALITY, pixels.MOST_ENCODED_BYTES)
    assert at_most == theirs
    for module in (ours, pixels):
        monkeypatch.setattr(module, "MOST_ENCODED_BYTES", 10_000)
    assert worker(noisy) == gateway(noisy)


def test_the_corpus(data: Path) -> None:
    files = [path for path in (data / "jpeg-corpus").rglob("*") if path.is_file()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files[::5]:
            content = path.read_bytes()
            assert worker(content) == gateway(content), path
