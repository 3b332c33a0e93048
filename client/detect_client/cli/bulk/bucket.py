"""An S3 bucket with a prefix as source or output. Needs boto3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..options import Stop
from .stores import Item, Unreadable

FAILURES: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
# Codes of S3's errors, and of services like it, which give only the status to some requests.
UNREADABLE = ("NoSuchKey", "404", "AccessDenied", "403", "InvalidObjectState")
CHANGED = ("PreconditionFailed", "412")
CONFLICT = ("ConditionalRequestConflict", "409")  # another write of the key is not finished
READS, WRITES, PAUSE_S = 3, 20, 0.5


class Bucket:
    """Objects of S3, or of a service like it, below a prefix. Needs boto3.

    boto3 takes keys as they are. Clients that treat a key as a path fail on `a//b` and `../a`.
    """

    def __init__(self, bucket: str, prefix: str, connections: int = 64) -> None:
        self._bucket = bucket
        self._prefix = prefix and prefix.rstrip("/") + "/"
        # Checksums that other services than AWS do not know only where the call needs them.
        config = Config(
            max_pool_connections=connections,
            retries={"mode": "standard", "max_attempts": 5},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
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
        except FAILURES as error:
            raise Stop(f"s3://{self._bucket}/{self._prefix} cannot be listed: {error}") from error

    def read(self, key: str, etag: str = "") -> bytes:
        arguments = {"Bucket": self._bucket, "Key": self._prefix + key}
        if etag:
            arguments["IfMatch"] = f'"{etag}"'
        for left in reversed(range(READS)):
            try:
                data: bytes = self._s3.get_object(**arguments)["Body"].read()
                return data
            except ClientError as error:
                if _code(error) in CHANGED:
                    raise Unreadable("The object has changed since it was listed.") from error
                if _code(error) in UNREADABLE:
                    raise Unreadable(str(error)) from error
                raise Stop(f"s3://{self._bucket}/{self._prefix}{key}: {error}") from error
            except BotoCoreError as error:  # botocore does not repeat a body that breaks off
                if not left:
                    raise Stop(f"s3://{self._bucket}/{self._prefix}{key}: {error}") from error
        raise AssertionError("unreachable")

    def put_new(self, key: str, data: bytes) -> bool:
        name = self._prefix + key
        for _ in range(WRITES):
            try:
                self._s3.put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
            except FAILURES as error:
                if _code(error) in CHANGED:
                    return False
                if _code(error) not in CONFLICT:
                    raise Stop(f"s3://{self._bucket}/{name} cannot be written: {error}") from error
                time.sleep(PAUSE_S)
            else:
                return True
        raise Stop(f"s3://{self._bucket}/{name} is being written by others again and again")


def _code(error: Exception) -> str:
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
