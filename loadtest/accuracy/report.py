"""accuracy.json and detections.json, and the summary on the terminal."""

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import CommandError
from ..commands.terminal import error_counts, warn
from ..run import write_whole
from .average_precision import evaluate
from .categories import ignored_counts, match
from .coco import Annotations

MAX_FAILURES_SHOWN = 10


def report(
    out: Path,
    about: Mapping[str, Any],
    annotations: Annotations,
    entries: Mapping[int, Mapping[str, Any]],
    labels: Sequence[str] | None,
) -> int:
    """Write both files and print COCO's twelve metrics. Returns how many pictures failed.

    `entries`: for every picture, as in `Answers`. `labels`: all of the model's; None if they are
    not known, in which case all categories are evaluated.
    """
    detected_labels = Counter(d[0] for e in entries.values() for d in e.get("detections", ()))
    if labels and (unknown := sorted(detected_labels.keys() - set(labels))):
        raise CommandError(f"the model detects labels that --names lacks: {', '.join(unknown)}")
    matching = match(labels or list(detected_labels), annotations.categories)
    if labels and not matching.matched:
        raise CommandError("no label of the model is a category of the annotations")
    results = _results(entries, matching.matched)
    write_whole(out / "detections.json", json.dumps(results) + "\n")

    objects = annotations.counts()
    detected = Counter(result["category_id"] for result in results)
    has = set(matching.matched.values()) if labels else set(annotations.categories)
    print(f"evaluating {len(results)} detections", file=sys.stderr)
    stats, classes = evaluate(annotations, results, has)
    failed = {number: entry["error"] for number, entry in entries.items() if "error" in entry}

    content = {
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
        "never_detected": [
            name
            for number, name in annotations.categories.items()
            if number in has and objects[number] and not detected[number]
        ],
        "excluded_categories": matching.excluded if labels else [],
        "ignored_labels": matching.ignored if labels else [],
        "ignored_detections": ignored_counts(detected_labels, matching),
        "errors": Counter(error["kind"] for error in failed.values()),
        "failed": [
            {"image_id": picture.id, "file_name": picture.path.name, **failed[picture.id]}
            for picture in annotations.pictures
            if picture.id in failed
        ],
    }
    write_whole(out / "accuracy.json", json.dumps(content, indent=1) + "\n")
    _print(content, labels is not None)
    print(f"written: {out / 'accuracy.json'}, {out / 'detections.json'}")
    return len(failed)


def _results(
    entries: Mapping[int, Mapping[str, Any]], categories: Mapping[str, int]
) -> list[dict[str, Any]]:
    """COCO's results format; pixels to a hundredth, as the service returns them."""
    return [
        {
            "image_id": image_id,
            "category_id": categories[label],
            "bbox": [x_min, y_min, round(x_max - x_min, 2), round(y_max - y_min, 2)],
            "score": score,
        }
        for image_id, entry in entries.items()
        for label, score, x_min, y_min, x_max, y_max in entry.get("detections", ())
        if label in categories
    ]


def _print(content: Mapping[str, Any], labels_known: bool) -> None:
    model = content["model"]
    line = f"{model['name']} version {model['version']}, {content['pictures']} pictures"
    if content["asked"]:
        line += f", {content['asked']} of them asked now in {content['wall_s']:.1f} s"
        callers = content["settings"]["callers"]
        line += f" ({content['images_per_s']:.1f} pictures/s, {callers} callers)"
    print(line)
    print(f"AP {content['stats']['AP']}, AP50 {content['stats']['AP50']}")
    if content["excluded_categories"]:
        print(f"excluded, the model lacks them: {', '.join(content['excluded_categories'])}")
    if content["ignored_labels"]:
        print(f"ignored, the annotations lack them: {', '.join(content['ignored_labels'])}")
    if content["ignored_detections"]:
        print(f"ignored detections: {error_counts(content['ignored_detections'])}")
    if content["never_detected"]:
        never = ", ".join(content["never_detected"])
        advice = "" if labels_known else "; if the model lacks them, --names excludes them"
        warn(f"categories without any detection count as AP 0: {never}{advice}")
    for failure in content["failed"][:MAX_FAILURES_SHOWN]:
        print(f"failed: {failure['file_name']}: {failure['reason']}", file=sys.stderr)
    if content["failed"]:
        errors = error_counts(content["errors"])
        warn(f"{len(content['failed'])} pictures failed and count as without detections ({errors})")
