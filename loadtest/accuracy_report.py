"""What a run found: two JSON files that stand on their own, and what a person must be told."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .average_precision import evaluate
from .coco import Annotations
from .stopped import Stopped


def report(
    out: Path,
    about: Mapping[str, Any],
    annotations: Annotations,
    entries: Mapping[int, Mapping[str, Any]],
    names: Sequence[str] | None,
) -> int:
    """Write detections.json and accuracy.json, print the twelve numbers: how many pictures failed.

    `entries`: of every picture, as Answers has them. `names`: the model's classes; without them all
    categories are evaluated, and those never detected are warned of.
    """
    labels = Counter(d[0] for entry in entries.values() for d in entry.get("detections", ()))
    if names and (strange := sorted(labels.keys() - set(names))):
        raise Stopped(f"the model detects what --names does not have: {', '.join(strange)}")
    meaning = {label: annotations.category(label) for label in {*labels, *(names or ())}}
    results = _results(entries, meaning)
    _write(out / "detections.json", results)

    objects = annotations.counts()
    detected = Counter(result["category_id"] for result in results)
    has = {meaning[name] for name in names} if names else annotations.categories.keys()
    evaluated = {number for number in annotations.categories if number in has}
    print(f"evaluating {len(results)} detections", file=sys.stderr)
    stats, classes = evaluate(annotations, results, evaluated)
    failed = {number: entry["error"] for number, entry in entries.items() if "error" in entry}

    def called(numbers: Iterable[int]) -> list[str]:
        chosen = set(numbers)
        return [name for number, name in annotations.categories.items() if number in chosen]

    found = {
        **about,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "pictures": len(entries),
        "stats": stats,
        "classes": [
            {
                "category": annotations.categories[number],
                "id": number,
                "AP": ap,
                "AP50": ap50,
                "objects": objects[number],
                "detections": detected[number],
            }
            for number, (ap, ap50) in classes.items()
        ],
        "never_detected": called(n for n in evaluated if objects[n] and not detected[n]),
        "left_out": called(n for n in annotations.categories if n not in evaluated),
        "unmapped_labels": {la: n for la, n in labels.most_common() if meaning[la] is None},
        "unmapped_names": [name for name in names or () if meaning[name] is None],
        "errors": Counter(error["kind"] for error in failed.values()),
        "failed": [
            {"image_id": picture.id, "file_name": picture.path.name, **failed[picture.id]}
            for picture in annotations.pictures
            if picture.id in failed
        ],
    }
    _write(out / "accuracy.json", found, indent=1)
    _tell(found, names is not None)
    print(f"written: {out / 'accuracy.json'}, {out / 'detections.json'}")
    return len(failed)


def _results(
    entries: Mapping[int, Mapping[str, Any]], meaning: Mapping[str, int | None]
) -> list[dict[str, Any]]:
    """COCO's results file. Pixels to a hundredth, as the service gives them."""
    return [
        {
            "image_id": image_id,
            "category_id": meaning[label],
            "bbox": [x_min, y_min, round(x_max - x_min, 2), round(y_max - y_min, 2)],
            "score": score,
        }
        for image_id, entry in entries.items()
        for label, score, x_min, y_min, x_max, y_max in entry.get("detections", ())
        if meaning[label] is not None
    ]


def _write(path: Path, content: Any, indent: int | None = None) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise Stopped(f"cannot write {path}: {error.strerror}") from error


def _tell(found: Mapping[str, Any], with_names: bool) -> None:
    model = found["model"]
    line = f"{model['name']} version {model['version']}, {found['pictures']} pictures"
    if found["asked"]:
        line += f", {found['asked']} of them asked now in {found['wall_s']:.1f} s"
        line += f" ({found['images_per_s']:.1f}/s, --callers {found['settings']['callers']})"
    print(line)
    if found["left_out"]:
        print(f"left out, for the model has no such class: {', '.join(found['left_out'])}")
    if found["unmapped_names"]:
        print(f"classes that are no category: {', '.join(found['unmapped_names'])}")
    if found["unmapped_labels"]:
        labels = ", ".join(f"{label} {n}" for label, n in found["unmapped_labels"].items())
        _warn(f"detections that count for nothing, for their label is no category: {labels}")
    if found["never_detected"]:
        never = ", ".join(found["never_detected"])
        advice = "" if with_names else "; if the model has no such class, --names leaves it out"
        _warn(f"categories with objects and not one detection count as AP 0: {never}{advice}")
    for failure in found["failed"][:10]:
        print(f"failed: {failure['file_name']}: {failure['reason']}", file=sys.stderr)
    if found["failed"]:
        kinds = ", ".join(f"{kind}: {n}" for kind, n in found["errors"].items())
        _warn(f"{len(found['failed'])} pictures failed and count as without detections ({kinds})")


def _warn(sentence: str) -> None:
    sys.stdout.flush()  # in a log of both, in their order
    print(f"warning: {sentence}", file=sys.stderr)
