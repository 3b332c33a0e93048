"""How a model's labels are matched to COCO categories: cases for `loadtest` and for `yolov4`."""

from typing import NamedTuple


class Case(NamedTuple):
    """`matched`: label -> category id. Both lists are in the order of the input."""

    about: str
    labels: list[str]  # the model's, in order
    categories: dict[int, str]  # the annotation file's: id -> name
    matched: dict[str, int]
    excluded: list[str]  # categories the model lacks: not part of AP, printed
    ignored: list[str]  # labels the annotations lack: their detections do not count, printed


CASES = [
    Case(
        "the same names",
        ["person", "car"],
        {1: "person", 3: "car"},
        {"person": 1, "car": 3},
        [],
        [],
    ),
    Case(
        "Darknet's six names for COCO's",
        ["motorbike", "aeroplane", "sofa", "pottedplant", "diningtable", "tvmonitor"],
        {
            4: "motorcycle",
            5: "airplane",
            63: "couch",
            64: "potted plant",
            67: "dining table",
            72: "tv",
        },
        {
            "motorbike": 4,
            "aeroplane": 5,
            "sofa": 63,
            "pottedplant": 64,
            "diningtable": 67,
            "tvmonitor": 72,
        },
        [],
        [],
    ),
    Case(
        "COCO's names for VOC's",
        ["airplane", "tv"],
        {1: "aeroplane", 20: "tvmonitor"},
        {"airplane": 1, "tv": 20},
        [],
        [],
    ),
    Case(
        "upper case and spaces around",
        [" Person", "SOFA"],
        {1: "person", 63: "Couch"},
        {" Person": 1, "SOFA": 63},
        [],
        [],
    ),
    Case(
        "the exact name before a synonym",
        ["sofa", "couch"],
        {1: "couch", 2: "sofa"},
        {"sofa": 2, "couch": 1},
        [],
        [],
    ),
    Case(
        "two labels of one category",
        ["sofa", "couch"],
        {63: "couch"},
        {"sofa": 63, "couch": 63},
        [],
        [],
    ),
    Case(
        "a category that the model lacks",
        ["car"],
        {1: "person", 3: "car"},
        {"car": 3},
        ["person"],
        [],
    ),
    Case(
        "a label that the annotations lack",
        ["car", "unicorn"],
        {3: "car"},
        {"car": 3},
        [],
        ["unicorn"],
    ),
    Case(
        "other words are not synonyms",
        ["bike", "television"],
        {2: "bicycle", 72: "tv"},
        {},
        ["bicycle", "tv"],
        ["bike", "television"],
    ),
    Case(
        "inner spaces count",
        ["trafficlight"],
        {10: "traffic light"},
        {},
        ["traffic light"],
        ["trafficlight"],
    ),
]
