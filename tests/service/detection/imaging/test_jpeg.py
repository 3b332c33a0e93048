"""Straight from the markers, or not at all: never another answer than Pillow's."""

from pathlib import Path

import pytest
from PIL import Image

from service.core.errors import DetectError
from service.detection.imaging import jpeg
from service.detection.imaging.image import pillow_header
from tests.support.inputs.pictures import header_only, picture


def header(data: bytes) -> tuple[int, int, int] | None:
    found = jpeg.read_header(data)
    return found and found[:3]


def by_pillow(data: bytes) -> tuple[int, int, int] | None:
    try:
        by_pillow = pillow_header(data)
    except DetectError:
        return None
    return by_pillow.width, by_pillow.height, by_pillow.orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(orientation: int) -> None:
    data = picture(64, 48, orientation=orientation)
    assert header(data) == (64, 48, orientation)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_kinds_of_frame(mode: str, progressive: bool) -> None:
    data = picture(333, 222, mode=mode, progressive=progressive)
    assert header(data) == (333, 222, 1)


def test_big_endian_exif() -> None:
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x0112] = 6
    exif[0x010F] = "a maker of cameras"
    data = picture(exif=exif.tobytes())
    assert b"MM\0*" in data
    assert header(data) == (64, 48, 6)


def test_not_plain() -> None:
    assert header(b"") is None
    assert header(picture(kind="PNG")) is None
    assert header(header_only(0, 48)) is None
    assert header(b"\xff\xd8" + b"\xff\xe0\0\x02" * 1000) is None  # segments, no end


def test_cut_anywhere_it_never_fails_and_never_differs() -> None:
    data = picture(64, 48, orientation=6)
    for end in range(len(data)):
        assert header(data[:end]) in (None, (64, 48, 6))


@pytest.mark.filterwarnings("ignore")
def test_one_byte_changed_anywhere_in_the_header() -> None:
    """Wherever it has an answer and Pillow has one, they are the same."""
    data = picture(64, 48, orientation=6)
    end = data.index(b"\xff\xda")
    compared = 0
    for at in range(2, end):
        for flip in (0x01, 0x80, 0xFF):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            ours, pillows = header(changed), by_pillow(changed)
            if ours and pillows:
                compared += 1
                assert ours == pillows, (at, flip)
    assert compared > 500


@pytest.mark.filterwarnings("ignore")
def test_the_corpus_of_odd_files(data: Path) -> None:
    compared = 0
    for path in sorted((data / "jpeg-corpus").rglob("*.*")):
        content = path.read_bytes()
        ours, pillows = header(content), by_pillow(content)
        if ours and pillows:
            compared += 1
            assert ours == pillows, path
    assert compared > 100
