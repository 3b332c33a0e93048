"""Which `.cfg` files of a folder are accepted, and how far they agree with OpenCV, as Markdown."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from yolov4.errors import ModelError
from yolov4.verify.opencv import UnreadableError, compare_with_opencv

DETECTOR = re.compile(rb"^\s*\[(yolo|Gaussian_yolo|region)\]", re.MULTILINE)


class Row(NamedTuple):
    name: str
    detector: bool
    accepted: bool
    result: str  # the rest of the table's row, or why it was refused


def survey(folder: Path, side: int, progress: Callable[[str], None]) -> str:
    """A Markdown table of every `.cfg` in the folder, and how many detectors are accepted."""
    paths = sorted(folder.rglob("*.cfg"))
    if not paths:
        raise ModelError(f"no .cfg files in {folder}")
    rows: list[Row] = []
    contents: dict[bytes, str] = {}
    same: list[tuple[str, str]] = []
    for path in paths:
        name = str(path.relative_to(folder))
        content = path.read_bytes()
        if content in contents:
            same.append((name, contents[content]))
            continue
        contents[content] = name
        rows.append(_row(path, name, bool(DETECTOR.search(content)), side))
        progress(f"{name}: {rows[-1].result}")
    return "\n".join(_lines(rows, same))


def _row(path: Path, name: str, detector: bool, side: int) -> Row:
    try:
        difference = compare_with_opencv(path, side)
    except UnreadableError as error:
        return Row(name, detector, True, f"OpenCV: {str(error).splitlines()[0]} | |")
    except ModelError as error:
        return Row(name, detector, False, _reason(path, error))
    heads, boxes, scores = difference
    return Row(name, detector, True, f"{heads:.1e} | {boxes:.1e} | {scores:.1e}")


def _reason(path: Path, error: ModelError) -> str:
    return str(error).removeprefix(str(path)).lstrip(":, ").split("; supported")[0]


def _lines(rows: Sequence[Row], same: Sequence[tuple[str, str]]) -> Iterator[str]:
    detectors = [row for row in rows if row.detector]
    accepted = [row for row in rows if row.accepted]
    yield f"{len(accepted)} of {len(detectors)} detectors are accepted."
    yield ""
    yield "| accepted | heads | boxes | scores |"
    yield "|---|---|---|---|"
    yield from (f"| `{row.name}` | {row.result} |" for row in accepted)
    for title, chosen in (
        ("refused", [row for row in detectors if not row.accepted]),
        ("no detector", [row for row in rows if not row.detector]),
    ):
        if chosen:
            yield from ("", f"| {title} | reason |", "|---|---|")
            yield from (f"| `{row.name}` | {row.result} |" for row in chosen)
    if same:
        yield ""
        yield "The same files: " + ", ".join(f"`{a}` and `{b}`" for a, b in same) + "."
