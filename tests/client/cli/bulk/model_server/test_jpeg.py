"""The header that the worker reads from a JPEG's markers is the gateway's."""

from pathlib import Path

from detect_client.cli.bulk.model_server import jpeg as ours

from service.detection.imaging import jpeg
from tests.support.inputs.pictures import picture


def assert_same(data: bytes) -> None:
    theirs = jpeg.read_header(data)
    assert ours.read_header(data) == (theirs and theirs[:3])


def test_sizes_orientations_and_cuts() -> None:
    for orientation in range(1, 9):
        data = picture(70, 40, orientation=orientation)
        assert ours.read_header(data) == (70, 40, orientation)
        for length in range(len(data)):
            assert_same(data[:length])
    assert_same(picture(progressive=True))
    assert ours.read_header(picture(kind="PNG")) is None


def test_the_corpus(data: Path) -> None:
    for path in (data / "jpeg-corpus").rglob("*"):
        if path.is_file():
            assert_same(path.read_bytes())
