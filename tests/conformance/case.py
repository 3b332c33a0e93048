"""Conformance cases: what each asks, what TensorFlow Serving was seen to do, and how it ended."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

REAL = "TensorFlow Serving 2.20.0"
NOT_SEEN = "not seen"
PROGRAM = os.environ.get("TF_MODEL_SERVER")
RUNNING = os.environ.get("TF_SERVING_TARGET")
EMBEDDED = not (PROGRAM or RUNNING)
TARGET = " and ".join(filter(None, (RUNNING, PROGRAM))) or "the embedded model server"


@dataclass(frozen=True)
class Case:
    """`real`: what TensorFlow Serving 2.20.0 was seen to do, or NOT_SEEN. `embedded`: what the
    embedded model server does instead, on purpose."""

    id: str
    sentence: str
    real: str
    embedded: str = ""


@dataclass(frozen=True)
class Result:
    case: Case
    outcome: str  # equal, intended, differs, skipped
    seen: str = ""


def case(name: str, sentence: str, real: str, embedded: str = "") -> pytest.MarkDecorator:
    """Marks a test as the case `name`, such as `versions.swap`."""
    return pytest.mark.case(Case(name, sentence, real, embedded))


def case_of(item: pytest.Item) -> Case | None:
    mark = item.get_closest_marker("case")
    return mark.args[0] if mark else None


def result_of(case: Case, report: pytest.TestReport) -> Result:
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        return Result(case, "skipped", str(reason).removeprefix("Skipped: "))
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr)
        return Result(case, "differs", " ".join(text.split())[:300])
    if EMBEDDED and case.embedded:
        return Result(case, "intended", case.embedded)
    return Result(case, "equal")


def catalogue(cases: Iterable[Case]) -> str:
    """All cases, as the documentation lists them."""
    return _tables(
        "embedded server",
        ((case, case.embedded or ("" if NOT_SEEN in case.real else "the same")) for case in cases),
    )


def markdown(results: Iterable[Result]) -> str:
    """The report of one run."""
    results = list(results)
    rows = ((r.case, ": ".join(filter(None, (r.outcome, r.seen)))) for r in results)
    return f"# Conformance of {TARGET}\n\n{summary(results)}\n\n{_tables('here', rows)}\n"


def _tables(last: str, rows: Iterable[tuple[Case, str]]) -> str:
    """A Markdown table for each topic, the first part of the cases' ids."""
    topics: dict[str, list[str]] = {}
    for case, cell in rows:
        cells = (f"`{case.id}`", case.sentence, case.real, cell)
        line = " | ".join(cell.replace("|", "\\|") for cell in cells)
        topics.setdefault(case.id.partition(".")[0], []).append(f"| {line} |")
    head = f"| case | | {REAL} | {last} |\n|---|---|---|---|\n"
    return "\n\n".join(
        f"## {topic.capitalize()}\n\n{head}" + "\n".join(lines) for topic, lines in topics.items()
    )


def summary(results: Iterable[Result]) -> str:
    outcomes = [result.outcome for result in results]
    words = {
        "equal": "equal",
        "intended": "different on purpose",
        "differs": "different",
        "skipped": "skipped",
    }
    return f"{len(outcomes)} cases: " + ", ".join(
        f"{outcomes.count(outcome)} {word}" for outcome, word in words.items()
    )


def write(results: Iterable[Result], path: Path) -> None:
    """As JSON or Markdown, by the file's extension."""
    results = list(results)
    if path.suffix == ".json":
        content = {
            "target": TARGET,
            "expected": REAL,
            "cases": [{**asdict(r.case), "outcome": r.outcome, "seen": r.seen} for r in results],
        }
        path.write_text(json.dumps(content, indent=2) + "\n")
    else:
        path.write_text(markdown(results))
