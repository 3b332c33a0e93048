"""Matching a model's labels to COCO categories; `loadtest` follows the same rule.

See docs/internals/decisions/2026-11-24-category-names.md.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Pascal VOC's, and so Darknet's, names of six of COCO's categories.
SYNONYMS = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


class Match(NamedTuple):
    matched: dict[str, int]  # label -> category id
    excluded: list[str]  # categories that the model lacks: not part of AP
    ignored: list[str]  # labels that the annotations lack: their detections do not count


def match(labels: Sequence[str], categories: Mapping[int, str]) -> Match:
    """labels: all of the model's. categories: id -> name."""
    pairs = list(categories.items())[::-1]  # so that the first of equal names counts
    exact = {name: number for number, name in pairs}
    folded = {canonical(name): number for number, name in pairs}
    matched = {}
    for label in labels:
        number = exact.get(label, folded.get(canonical(label)))
        if number is not None:
            matched[label] = number
    excluded = [name for number, name in categories.items() if number not in matched.values()]
    return Match(matched, excluded, [label for label in labels if label not in matched])


def canonical(name: str) -> str:
    """COCO's word for a label: stripped, casefolded, and without VOC's synonyms."""
    folded = name.strip().casefold()
    return SYNONYMS.get(folded, folded)
