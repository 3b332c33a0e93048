"""A finished bulk job in the formats of a folder run: COCO, JSON lines, CSV.

COCO's image ids are the row numbers of the manifest, from 1; so they stay the same for every model.
"""

from __future__ import annotations

import json

from ..formats import writer
from ..options import Options, Stop
from . import rows
from .job import MANIFEST, part_name
from .stores import Unreadable, open_store

FORMATS = (".json", ".jsonl", ".csv")


def export(options: Options) -> tuple[int, int]:
    """Pictures that were written, and those left out because of an error."""
    if options.out is None or options.out.suffix.lower() not in FORMATS:
        raise Stop(f"{options.out}: --out ends with {', '.join(FORMATS)}")
    store = open_store(options.job)
    try:
        manifest = rows.read(store.read(MANIFEST))
    except Unreadable as error:
        raise Stop(f"{options.job} is not the folder of a bulk job: {error}") from error
    about = manifest.schema.metadata
    options.source, options.format = json.loads(about[b"job"])["source"], None
    shard_size, answers, failed = int(about[b"shard_size"]), [], 0
    for shard, start in enumerate(range(0, len(manifest), shard_size)):
        try:
            part = rows.read(store.read(part_name(shard)))
        except Unreadable as error:
            raise Stop(f"shard {shard} is missing: the job is not finished") from error
        for number, row in enumerate(part.to_pylist(), start + 1):
            if row["error"] is None:
                answers.append({"id": number, **rows.to_service(row)})
            failed += row["error"] is not None
    write = writer(options.out, options)
    write.check([row["file"] for row in answers])
    write.finish(answers)
    return len(answers), failed
