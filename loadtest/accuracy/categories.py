"""Matching a model's labels to COCO categories; `yolov4` follows the same rule.

See docs/internals/decisions/2026-11-24-category-names.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Pascal VOC's, and so Darknet's, names of six of COCO's categories.
SYNONYMS = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def category_of(label: str, categories: Mapping[int, str]) -> int | None:
    """The id of the category with the label's name, or else with a synonym of it."""
    for key in (str, _key):
        for number, name in categories.items():
            if key(name) == key(label):
                return number
    return None


def _key(name: str) -> str:
    folded = name.strip().casefold()
    return SYNONYMS.get(folded, folded)


@dataclass(frozen=True)
class Match:
    """`matched`: label -> category id. `excluded` categories are not part of AP; the detections of
    `ignored` labels do not count."""

    matched: dict[str, int]
    excluded: list[str]
    ignored: list[str]


def match(labels: Sequence[str], categories: Mapping[int, str]) -> Match:
    """`labels`: all of the model's. `categories`: id -> name."""
    found = {label: category_of(label, categories) for label in labels}
    matched = {label: number for label, number in found.items() if number is not None}
    has = set(matched.values())
    return Match(
        matched,
        [name for number, name in categories.items() if number not in has],
        [label for label in found if label not in matched],
    )


def ignored_counts(detected: Mapping[str, int], match: Match) -> dict[str, int]:
    """Label -> its detections that do not count, the most frequent first."""
    return {label: n for label, n in Counter(detected).most_common() if label not in match.matched}
