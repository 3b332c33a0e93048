"""What callers have, as bytes to upload."""

import io
from pathlib import Path

import numpy as np
import pytest
from detect_client.errors import InvalidPicture
from detect_client.pictures import media_type, read
from PIL import Image

from tests.support.inputs.pictures import picture


def test_bytes_and_files_go_as_they_are(tmp_path: Path) -> None:
    data = picture()
    (tmp_path / "a.jpg").write_bytes(data)
    for given in (data, bytearray(data), memoryview(data), tmp_path / "a.jpg"):
        assert read(given) == data
    assert read(str(tmp_path / "a.jpg")) == data


def test_arrays_and_images_keep_their_colours() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30] = (200, 30, 30)
    for given in (pixels, Image.fromarray(pixels), Image.fromarray(pixels).convert("RGBA")):
        with Image.open(io.BytesIO(read(given))) as image:
            assert image.size == (60, 40)
            assert np.abs(np.asarray(image).astype(int) - pixels).max() <= 12
    with Image.open(io.BytesIO(read(pixels[..., 0]))) as image:
        assert image.getpixel((5, 5))[0] == pytest.approx(200, abs=3)  # type: ignore[index]


def test_an_image_keeps_its_orientation() -> None:
    with Image.open(io.BytesIO(picture(orientation=6))) as image:
        data = read(image)
    with Image.open(io.BytesIO(data)) as sent:
        assert sent.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused_with_what_they_are(array: object) -> None:
    with pytest.raises(InvalidPicture, match=r"shape \(height, width, 3\)"):
        read(array)


def test_a_missing_file_and_other_objects(tmp_path: Path) -> None:
    with pytest.raises(InvalidPicture, match=r"gone\.jpg: No such file"):
        read(tmp_path / "gone.jpg")
    with pytest.raises(TypeError, match="not int"):
        read(7)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_media_types(kind: str) -> None:
    assert media_type(picture(kind=kind)) == f"image/{kind.lower()}"
    assert media_type(b"") == "image/jpeg"
