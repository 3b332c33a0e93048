"""A run.json, as `throughput`, `soak` and `server` write it, checked before anything is drawn."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .stopped import Stopped

SCHEMA = 1
KINDS = ("soak", "throughput", "server")  # in the order of the report

NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
# Where what is needed stands, and of what type it is.
NEEDED: dict[str, tuple[type, ...]] = {
    "label": (str,),
    "command": (str,),
    "date": (str,),
    "commit": (str, type(None)),
    "ended": (str,),
    "host": (dict,),
    "target.model": (str,),
    "target.version": (int,),
    "settings": (dict,),
    "seed": (int,),
    "pictures.count": (int,),
    "pictures.sha256": (str,),
    "windows": (list,),
    "histogram.unit": (str,),
    "histogram.buckets": (list,),
    "search": (list,),
    "summary.images": (int,),
    "summary.seconds": NUMBER,
    "summary.images_per_s": NUMBER,
    "summary.latency_ms.p50": OPTIONAL,
    "summary.latency_ms.p90": OPTIONAL,
    "summary.latency_ms.p99": OPTIONAL,
    "summary.variation_percent": OPTIONAL,
    "summary.errors": (dict,),
    "summary.restarts_seen": (int,),
}
WINDOW: dict[str, tuple[type, ...]] = {
    "start_s": NUMBER,
    "seconds": NUMBER,
    "images_per_s": NUMBER,
    "latency_ms.p90": OPTIONAL,
    "temperature_c": OPTIONAL,
}
STEP: dict[str, tuple[type, ...]] = {"rate": NUMBER, "p99_ms": OPTIONAL, "passed": (bool,)}


@dataclass(frozen=True)
class Window:
    """A stretch of a run. A latency is None where nothing was answered. Celsius, if it was read."""

    start_s: float
    seconds: float
    images_per_s: float
    p90_ms: float | None
    temperature_c: float | None


@dataclass(frozen=True)
class Run:
    """`buckets`: upper bound in milliseconds -> answers up to it and above the one before.

    `document`: all that was in the file, for what is only shown.
    """

    kind: str
    label: str
    complete: bool
    settings: Mapping[str, Any]
    pictures: tuple[int, str]
    images: int
    seconds: float
    images_per_s: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    variation_percent: float | None
    errors: Mapping[str, int]
    restarts: int
    windows: Sequence[Window]
    buckets: Sequence[tuple[float, int]]
    search: Sequence[Mapping[str, Any]]
    document: Mapping[str, Any]


def read_runs(paths: Sequence[Path]) -> dict[str, list[Run]]:
    """Kind -> its runs, in the order they were given; a label names one of them."""
    kinds: dict[str, list[Run]] = {}
    for path in paths:
        run = read_run(path)
        if any(run.label == other.label for other in kinds.setdefault(run.kind, [])):
            raise Stopped(
                f"{path}: a {run.kind} run is labelled {run.label!r} already; the report tells runs"
                " apart by their label: give --label when measuring, or change it in the file"
            )
        kinds[run.kind].append(run)
    return {kind: kinds[kind] for kind in KINDS if kind in kinds}


def read_run(path: Path) -> Run:
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_a_number)
    except (OSError, UnicodeDecodeError) as error:
        raise Stopped(f"cannot read {path}: {error}") from error
    except ValueError as error:
        raise Stopped(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or "schema" not in document or "kind" not in document:
        raise Stopped(f"{path} is no run of `python -m loadtest throughput`, `soak` or `server`")
    if document["schema"] != SCHEMA:
        raise Stopped(f"{path} is of schema {document['schema']!r}, this report reads {SCHEMA}")
    if document["kind"] not in KINDS:
        raise Stopped(f"{path} is of kind {document['kind']!r}, not {', '.join(KINDS)}")
    if document.get("summary") == {}:
        raise Stopped(f"{path} has no results: the run was stopped before its first window ended")
    _check(document, NEEDED, str(path))
    for name, fields in (("windows", WINDOW), ("search", STEP)):
        for number, entry in enumerate(document[name], 1):
            _check(entry, fields, f"{path}, {name} {number}")
    return _run(document, str(path))


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is no number there")


def _check(document: Any, fields: Mapping[str, tuple[type, ...]], where: str) -> None:
    for dotted, types in fields.items():
        value = document
        for name in dotted.split("."):
            if not isinstance(value, dict) or name not in value:
                raise Stopped(f"{where} has no {dotted}")
            value = value[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise Stopped(f"{where}: {dotted} is {value!r}, not {types[0].__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise Stopped(f"{where}: {dotted} is {value!r}")


def _run(document: Mapping[str, Any], where: str) -> Run:
    summary, latency = document["summary"], document["summary"]["latency_ms"]
    buckets = document["histogram"]["buckets"]
    if document["histogram"]["unit"] != "us" or not all(
        isinstance(b, list) and len(b) == 2 and all(isinstance(n, NUMBER) for n in b) and b[0] > 0
        for b in buckets
    ):
        raise Stopped(f"{where}: the histogram is not of [upper bound in us, count]")
    return Run(
        kind=document["kind"],
        label=document["label"],
        complete=document["ended"] == "complete",
        settings=document["settings"],
        pictures=(document["pictures"]["count"], document["pictures"]["sha256"]),
        images=summary["images"],
        seconds=summary["seconds"],
        images_per_s=summary["images_per_s"],
        p50_ms=latency["p50"],
        p90_ms=latency["p90"],
        p99_ms=latency["p99"],
        variation_percent=summary["variation_percent"],
        errors=summary["errors"],
        restarts=summary["restarts_seen"],
        windows=[
            Window(
                w["start_s"],
                w["seconds"],
                w["images_per_s"],
                w["latency_ms"]["p90"],
                w["temperature_c"],
            )
            for w in document["windows"]
        ],
        buckets=[(upper / 1000, count) for upper, count in sorted(buckets)],
        search=document["search"],
        document=document,
    )
