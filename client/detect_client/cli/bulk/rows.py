"""One row a picture, as Parquet: the detections, or why there are none."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...results import Result
from .stores import Item

Row = dict[str, Any]

SIDES = ("x_min", "y_min", "x_max", "y_max")
DETECTION = pa.struct(
    [
        ("label", pa.string()),
        ("class_id", pa.int32()),
        ("score", pa.float64()),
        *((side, pa.float64()) for side in SIDES),
    ]
)
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("model", pa.string()),
        ("version", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("detections", pa.list_(DETECTION)),
        ("error", pa.string()),
    ]
)
MANIFEST = pa.schema([SCHEMA.field(name) for name in Item._fields])


def answered(item: Item, result: Result) -> Row:
    """`width`, `height` and boxes in pixels of the picture as a viewer shows it."""
    return {
        **item._asdict(),
        "model": result.model,
        "version": result.version,
        "width": result.width,
        "height": result.height,
        "detections": [
            {"label": d.label, "class_id": d.class_id, "score": d.score, **d.box._asdict()}
            for d in result.detections
        ],
        "error": None,
    }


def failed(item: Item, model: str, version: int, error: Exception) -> Row:
    """A picture that cannot be read or detected. `detections` is null, not empty."""
    return {**item._asdict(), "model": model, "version": version, "error": str(error)}


def to_service(row: Row) -> dict[str, Any]:
    """The row in the service's JSON form, with the key as `file`."""
    detections = [
        {
            **{name: d[name] for name in ("label", "class_id", "score")},
            "box": {side: d[side] for side in SIDES},
        }
        for d in row["detections"]
    ]
    return {
        "file": row["key"],
        "model": {"name": row["model"], "version": row["version"]},
        "image": {"width": row["width"], "height": row["height"]},
        "detections": detections,
    }


def write(rows: Sequence[Row], schema: pa.Schema, about: dict[str, str]) -> bytes:
    """A Parquet file; `about` becomes its metadata."""
    table = pa.Table.from_pylist(list(rows), schema.with_metadata(about))
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def read(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data))
