"""`loadtest server` as a test calls it."""

from pathlib import Path

from loadtest.__main__ import main
from tests.support.fakes.load_target import LoadTarget


def server(service: LoadTarget, images: Path, *more: str) -> int:
    return main(arguments(service, images, *more))


def arguments(service: LoadTarget, images: Path, *more: str) -> list[str]:
    places = ("--images", str(images), "--out", str(images.parent / "out"))
    return ["server", "--url", service.url, *places, *more]
