"""The pictures of a run: a folder's, in an order that the seed decides."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from . import CommandError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
CACHE_BYTES = 1 << 29  # larger sets are read for each request; the page cache has most of them


@dataclass(frozen=True)
class Pictures:
    """`sha256`: of the files' digests, in the order of `paths`. `cached`: all files, or none."""

    paths: Sequence[Path]
    sha256: str
    cached: Sequence[bytes]

    def read(self, number: int) -> bytes:
        return self.cached[number] if self.cached else read_file(self.paths[number])

    def order(self, seed: int) -> Iterator[int]:
        """Endless: every picture once in random order, then again in another order."""
        numbers = random.Random(f"pictures {seed}")
        while True:
            yield from numbers.sample(range(len(self.paths)), len(self.paths))

    def batches(self, seed: int, size: int, count: int | None = None) -> Iterator[list[int]]:
        """Batches of `count` pictures in all, or endless; the last batch may be smaller."""
        order = islice(self.order(seed), count)
        while batch := list(islice(order, size)):
            yield batch


def read_folder(folder: Path) -> Pictures:
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise CommandError(f"cannot read {folder}: {error.strerror}") from error
    if not paths:
        raise CommandError(f"--images {folder} has no pictures ({', '.join(sorted(SUFFIXES))})")
    return read_pictures(paths)


def read_pictures(paths: Sequence[Path]) -> Pictures:
    """Reads every file once, so that a missing file is known before the run."""
    digest, total = hashlib.sha256(), 0
    cached: list[bytes] = []
    for path in paths:
        data = read_file(path)
        digest.update(hashlib.sha256(data).digest())
        total += len(data)
        cached.append(data)
        if total > CACHE_BYTES:
            cached.clear()
    return Pictures(paths, digest.hexdigest(), cached if total <= CACHE_BYTES else ())


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


def media_type(picture: bytes) -> str:
    """By the first bytes, since file names can be wrong. Other types the service will reject."""
    if picture.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if picture[8:12] == b"WEBP" else "image/jpeg"
