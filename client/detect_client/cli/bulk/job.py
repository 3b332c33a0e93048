"""A bulk job: which pictures, in which shards, for which model and parameters.

Everything is decided by what is in the output: the manifest, written once, and one Parquet file a
shard, written once. A shard is done when its file exists. So any number of workers may start, die
and start again, in any order, without talking to each other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...results import Model
from ..options import Stop
from . import rows
from .stores import Item, Store, Unreadable

MANIFEST = "_manifest.parquet"  # readers of Parquet data sets leave out what begins with _


def folder_name(model: Model, about: dict[str, Any]) -> str:
    """Below the output: another model, version or parameter is another job."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    return f"{model.name}-{model.version}-{digest}"


def part_name(shard: int) -> str:
    """They sort like the shards."""
    return f"part-{shard:06}.parquet"


@dataclass(frozen=True)
class Job:
    """`about`: source and parameters, which with the model decide the results."""

    model: str
    version: int
    about: dict[str, Any]
    shard_size: int
    manifest: pa.Table

    @property
    def shards(self) -> int:
        return -(-len(self.manifest) // self.shard_size)

    def size(self, shard: int) -> int:
        return min(self.shard_size, len(self.manifest) - shard * self.shard_size)

    def items(self, shard: int) -> list[Item]:
        part = self.manifest.slice(shard * self.shard_size, self.shard_size)
        return [Item(**row) for row in part.to_pylist()]

    def done(self, folder: Store) -> set[int]:
        written = {item.key for item in folder.list()}
        return {shard for shard in range(self.shards) if part_name(shard) in written}

    def write(self, folder: Store, shard: int, content: list[rows.Row]) -> bool:
        """False where another worker was faster; its results are kept."""
        about = {"job": json.dumps(self.about)}
        return folder.put_new(part_name(shard), rows.write(content, rows.SCHEMA, about))


def start(source: Store, folder: Store, model: Model, about: dict[str, Any], size: int) -> Job:
    """The job as its first worker has planned it, in shards of `size`: the source is listed once.

    Workers that start together may all list it; the manifest of one of them is kept, and used by
    all. Raises Stop where there are no pictures.
    """
    try:
        table = rows.read(folder.read(MANIFEST))
    except Unreadable:
        items = sorted(item for item in source.list() if not item.key.endswith("/"))
        if not items:
            raise Stop(f"{about['source']} has no objects") from None
        notes = {"job": json.dumps(about), "shard_size": str(size)}
        content = [item._asdict() for item in items]
        folder.put_new(MANIFEST, rows.write(content, rows.MANIFEST, notes))
        table = rows.read(folder.read(MANIFEST))
    planned = int(table.schema.metadata[b"shard_size"])
    return Job(model.name, model.version, about, planned, table)
