"""Where pictures come from and results go: an S3 bucket with a prefix, or a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..options import Stop, utf8


class Item(NamedTuple):
    """`key`: relative to the prefix or folder. `size` in bytes. `etag`: empty in a folder."""

    key: str
    size: int
    etag: str


class Unreadable(Exception):
    """This object cannot be read: it was deleted, or access to it is denied."""


class Store(Protocol):
    """Both kinds are safe to share between threads."""

    def list(self) -> Iterator[Item]:
        """Everything below the prefix."""

    def read(self, key: str) -> bytes:
        """Raises Unreadable for one object's fault, and Stop where none could be read."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Writes an object as a whole unless it exists already: then False, and it is kept."""


def open_store(address: str) -> Store:
    """`s3://bucket/prefix`, or a folder. Raises Stop for another scheme."""
    scheme, found, rest = address.partition("://")
    if not found:
        return Folder(Path(address))
    if scheme != "s3":
        raise Stop(f"{address}: a bucket is given as s3://bucket/prefix")
    bucket, _, prefix = rest.partition("/")
    return Bucket(bucket, prefix)


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

    def read(self, key: str) -> bytes:
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


class Bucket:
    """Objects of S3, or of a service like it, below a prefix. Needs boto3.

    boto3 takes keys as they are. Clients that treat a key as a path fail on `a//b` and `../a`.
    """

    def __init__(self, bucket: str, prefix: str, connections: int = 64) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise Stop("buckets need boto3: pip install 'detect-client[bulk]'") from error
        self._bucket = bucket
        self._prefix = prefix and prefix.rstrip("/") + "/"
        # Checksums that other services than AWS do not know only where the call needs them.
        config = Config(
            max_pool_connections=connections,
            retries={"mode": "standard", "max_attempts": 5},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._failures: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
        try:
            self._s3: Any = boto3.client("s3", config=config)
        except BotoCoreError as error:  # such as: no region, or a profile that does not exist
            raise Stop(f"s3://{bucket}: {error}") from error

    def list(self) -> Iterator[Item]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        try:
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"][len(self._prefix) :]
                    yield Item(key, entry["Size"], entry["ETag"].strip('"'))
        except self._failures as error:
            raise Stop(f"s3://{self._bucket}/{self._prefix} cannot be listed: {error}") from error

    def read(self, key: str) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
            data: bytes = answer["Body"].read()
        except self._failures as error:
            code = _code(error)
            if code in ("NoSuchKey", "404", "AccessDenied", "403", "InvalidObjectState"):
                raise Unreadable(str(error)) from error
            raise Stop(f"s3://{self._bucket}/{self._prefix}{key}: {error}") from error
        return data

    def put_new(self, key: str, data: bytes) -> bool:
        name = self._prefix + key
        try:
            self._s3.put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
        except self._failures as error:
            # 409: another worker is writing the same object now.
            if _code(error) in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                return False
            raise Stop(f"s3://{self._bucket}/{name} cannot be written: {error}") from error
        return True


def _stop(error: OSError) -> None:
    raise Stop(f"{error.filename}: {error.strerror}") from error


def _code(error: Exception) -> str:
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
