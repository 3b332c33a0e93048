"""The pictures of a run: those of a folder, in an order that the seed decides."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .stopped import Stopped

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
KEEP_BYTES = 1 << 29  # more than that is read anew each time; the system's cache has most of it


@dataclass(frozen=True)
class Pictures:
    """`sha256`: of the pictures' own, in the order of `paths`."""

    paths: Sequence[Path]
    sha256: str
    kept: Sequence[bytes]  # all or none

    def data(self, number: int) -> bytes:
        return self.kept[number] if self.kept else _read(self.paths[number])

    def order(self, seed: int) -> Iterator[int]:
        """Without end: all pictures in a random order, then all in another."""
        numbers = random.Random(f"pictures {seed}")
        while True:
            yield from numbers.sample(range(len(self.paths)), len(self.paths))

    def batches(self, seed: int, size: int, count: int | None = None) -> Iterator[list[int]]:
        """Of `count` pictures or without end; the last batch is what is left."""
        order = islice(self.order(seed), count)
        while batch := list(islice(order, size)):
            yield batch


def read_folder(folder: Path) -> Pictures:
    """Stopped where there is no picture."""
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise Stopped(f"cannot read {folder}: {error.strerror}") from error
    if not paths:
        raise Stopped(f"--images {folder} has no picture ({', '.join(sorted(SUFFIXES))})")
    return read_pictures(paths)


def read_pictures(paths: Sequence[Path]) -> Pictures:
    """Every one is read once, so that a missing one is known before the run."""
    digest, total = hashlib.sha256(), 0
    kept: list[bytes] = []
    for path in paths:
        data = _read(path)
        digest.update(hashlib.sha256(data).digest())
        total += len(data)
        kept.append(data)
        if total > KEEP_BYTES:
            kept.clear()
    return Pictures(paths, digest.hexdigest(), kept if total <= KEEP_BYTES else ())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stopped(f"cannot read {path}: {error.strerror}") from error
