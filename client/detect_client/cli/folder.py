"""A folder of pictures: each is sent once, however often the run is interrupted."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from ..async_client import AsyncClient
from ..errors import ConnectionFailed, InvalidParameter, Unauthorized, Unavailable, UnexpectedAnswer
from ..results import Result
from . import formats
from .journal import Journal, Row, stamp
from .options import Options, Stop, utf8

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
# These are not the picture's fault: the run stops, and can be resumed when the cause is mended.
STOPS = (ConnectionFailed, InvalidParameter, Unauthorized, Unavailable, UnexpectedAnswer)


def run(options: Options) -> int:
    """Returns 0, or 1 where a picture was refused; those are listed."""
    source = Path(options.source)
    files = list(find(source))
    if not files:
        raise Stop(f"{source} has no pictures ({', '.join(ENDINGS)})")
    out = options.out or source.with_name(source.resolve().name + "-detections.jsonl")
    write = formats.writer(out, options)
    write.check(files)
    parameters = {
        "source": str(source.resolve()),
        "score_threshold": options.score_threshold,
        "max_detections": options.max_detections,
        "labels": sorted(options.label),
    }
    with Journal(Path(f"{out}.journal"), parameters, options.fresh) as journal:
        journal.keep_only(files)
        todo = [file for file in files if not journal.finished(file, (source / file).stat())]
        if len(todo) < len(files):
            print(f"{len(files) - len(todo)} of {len(files)} are done already", file=sys.stderr)
        asyncio.run(_detect(options, source, todo, journal, write))
        rows = [journal.rows[file] for file in files]
    write.finish([row for row in rows if "error" not in row])
    _report(rows, out)
    return 1 if any("error" in row for row in rows) else 0


def find(source: Path) -> Iterator[str]:
    """Names of the pictures below `source`, relative to it, sorted; hidden ones are left out."""
    names = []
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                names.append(utf8((Path(folder) / name).relative_to(source).as_posix()))
    return iter(sorted(names))


async def _detect(
    options: Options, source: Path, todo: list[str], journal: Journal, write: formats.Writer
) -> None:
    started = time.monotonic()
    paths = (source / file for file in todo)
    async with AsyncClient(options.url, key=options.key, timeout_s=options.timeout_s) as client:
        many = client.detect_many(
            paths, in_flight=options.in_flight, return_errors=True, **options.query()
        )
        async with aclosing(many):
            number = 0
            async for answer in many:
                file = todo[number]
                number += 1
                if isinstance(answer, STOPS):
                    raise Stop(f"{answer} Stopped at {file}; the same command continues there.")
                row: Row = {"file": file, **stamp((source / file).stat())}
                if isinstance(answer, Result):
                    write.picture(file, answer)
                    row |= answer.to_dict()
                else:
                    row["error"] = str(answer)
                journal.add(row)
                _progress(number, len(todo), time.monotonic() - started)


def _progress(number: int, of: int, seconds: float) -> None:
    if not sys.stderr.isatty() and number != of:
        return
    rate = number / seconds
    left = (of - number) / rate
    end = "\n" if number == of else ""
    print(
        f"\r{number}/{of} pictures, {rate:.1f}/s, {left:.0f} s left   ",
        end=end,
        file=sys.stderr,
        flush=True,
    )


def _report(rows: list[Row], out: Path) -> None:
    bad = [row for row in rows if "error" in row]
    versions = {(row["model"]["name"], row["model"]["version"]) for row in rows if "model" in row}
    if len(versions) > 1:
        names = ", ".join(f"{name} version {version}" for name, version in sorted(versions))
        print(f"Several models answered: {names}. --fresh starts again with one.", file=sys.stderr)
    print(f"{len(rows) - len(bad)} pictures in {out}", file=sys.stderr)
    if bad:
        print(f"{len(bad)} could not be detected:", file=sys.stderr)
    for row in bad:
        print(f"  {row['file']}: {row['error']}", file=sys.stderr)
