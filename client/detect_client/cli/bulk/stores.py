"""Where pictures come from and results go: an S3 bucket with a prefix, or a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from ..options import Stop, utf8


class Item(NamedTuple):
    """`key`: relative to the prefix or folder. `size` in bytes. `etag`: empty in a folder."""

    key: str
    size: int
    etag: str


class Unreadable(Exception):
    """This object cannot be read: it was deleted or changed, or access to it is denied."""


class Store(Protocol):
    """Both kinds are safe to share between threads."""

    def list(self) -> Iterator[Item]:
        """Everything below the prefix."""

    def read(self, key: str, etag: str = "") -> bytes:
        """With `etag`, this version of the object. Raises Unreadable for the object's own fault,
        and Stop where the next one would fail alike."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Writes an object as a whole unless it exists already: then False, and it is kept."""


def open_store(address: str) -> Store:
    """`s3://bucket/prefix`, or a folder. Raises Stop for another scheme."""
    scheme, found, rest = address.partition("://")
    if not found:
        return Folder(Path(address))
    if scheme != "s3":
        raise Stop(f"{address}: a bucket is given as s3://bucket/prefix")
    try:
        from .bucket import Bucket  # needs boto3
    except ImportError as error:
        raise Stop("buckets need boto3: pip install 'detect-client[bulk]'") from error
    bucket, _, prefix = rest.partition("/")
    return Bucket(bucket, prefix)


def normalized(address: str) -> str:
    """The same for every way to write it: without a slash at the end; a folder's full path."""
    return address.rstrip("/") if "://" in address else str(Path(address).resolve())


class Folder:
    """A directory and everything below it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self) -> Iterator[Item]:
        if not self._root.exists():
            return
        if not self._root.is_dir():
            raise Stop(f"{self._root} is not a folder")
        for folder, _, files in os.walk(self._root, onerror=_stop):
            for name in files:
                path = Path(folder) / name
                key = utf8(path.relative_to(self._root).as_posix())
                yield Item(key, path.lstat().st_size, "")

    def read(self, key: str, etag: str = "") -> bytes:
        try:
            return (self._root / key).read_bytes()
        except OSError as error:
            raise Unreadable(str(error.strerror)) from error

    def put_new(self, key: str, data: bytes) -> bool:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-") as part:
            part.write(data)
            part.flush()
            os.fchmod(part.fileno(), 0o644)
            try:
                os.link(part.name, path)
            except FileExistsError:
                return False
        return True


def _stop(error: OSError) -> None:
    raise Stop(f"{error.filename}: {error.strerror}") from error
