"""Workers as processes, and what they have written."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.project import ROOT


def rows_of(folder: Path) -> list[dict[str, Any]]:
    parts = sorted(folder.glob("*/part-*.parquet"))
    return pa.concat_tables([pq.read_table(part) for part in parts]).to_pylist()  # type: ignore[no-any-return]


def rows_in(s3: Any, prefix: str) -> list[dict[str, Any]]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="out", Prefix=f"{prefix}/")
    keys = sorted(o["Key"] for page in pages for o in page["Contents"] if "/part-" in o["Key"])
    bodies = [s3.get_object(Bucket="out", Key=key)["Body"].read() for key in keys]
    tables = [pq.read_table(pa.BufferReader(body)) for body in bodies]
    return pa.concat_tables(tables).to_pylist()  # type: ignore[no-any-return]


def worker(
    environment: dict[str, str], *arguments: str, python: str | Path = sys.executable
) -> "subprocess.Popen[bytes]":
    command = [str(python), "-m", "detect_client.cli.main", "bulk", *arguments]
    environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT / "client")}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
