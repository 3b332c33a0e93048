"""Resumable HTTP downloads, checked by size and SHA-256."""

import hashlib
import http.client
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from yolov4.download.official import File
from yolov4.errors import IntegrityError, ModelError

CHUNK = 1 << 18  # bytes


def download(file: File, path: Path) -> None:
    """Download `file` to `path`. A file that exists is checked, not downloaded.

    An interrupted download is kept as `<path>.part` and resumed. ModelError if it cannot be
    downloaded, IntegrityError if it is not the expected file.
    """
    if path.exists():
        check(path, file)
        return
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(file, part)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ModelError(
            f"cannot download {file.url}: {reason}. Without a connection, copy the file "
            f"({file.size:,} bytes) to {path} and run this again: it will be verified"
        ) from error
    try:
        check(part, file)
    except IntegrityError:
        part.unlink()  # resuming a wrong file would never succeed
        raise
    part.rename(path)


def _fetch(file: File, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == file.size:
        return
    request = urllib.request.Request(file.url)
    if 0 < have < file.size:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=30) as response:
        resumed = response.status == 206
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            started, before = time.monotonic(), done
            while chunk := response.read(CHUNK):
                out.write(chunk)
                done += len(chunk)
                _show(part.stem, done, file.size, (done - before) / (time.monotonic() - started))
    print(file=sys.stderr)
    if done < file.size:
        raise ConnectionError(f"the connection ended after {done:,} of {file.size:,} bytes")


def _show(name: str, done: int, size: int, bytes_per_s: float) -> None:
    filled = min(30, 30 * done // size)
    print(
        f"\r{name} [{'#' * filled}{' ' * (30 - filled)}] {done / 1e6:.1f} of {size / 1e6:.1f} MB,"
        f" {bytes_per_s / 1e6:.1f} MB/s ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def check(path: Path, file: File) -> None:
    """IntegrityError unless `path` has the size and the SHA-256 of `file`."""
    size = path.stat().st_size
    if size != file.size:
        raise IntegrityError(
            f"{path} has {size:,} bytes, but {file.size:,} are expected: delete it"
        )
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        raise IntegrityError(
            f"{path} is not the official file: its SHA-256 is {digest.hexdigest()}, "
            f"but {file.sha256} is expected: delete it"
        )
