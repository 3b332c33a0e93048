"""AP of the answers that throughput is measured on: each picture's first."""

import argparse
import json
from typing import Any
from urllib.parse import urlencode

from .accuracy import QUERY as ASKED
from .accuracy_report import report
from .average_precision import check_pycocotools
from .caller import Answer, Model
from .coco import read_annotations
from .replies import Outcome

QUERY = "?" + urlencode(ASKED)


class Accuracy:
    """`paths`: of the annotated pictures, no more than the run sends."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._tool = f"pycocotools {check_pycocotools()}"
        self._annotations = read_annotations(options.annotations, options.images, options.pictures)
        self.paths = [picture.path for picture in self._annotations.pictures]
        self._entries: dict[int, dict[str, Any]] = {}

    def add(self, outcome: Outcome) -> None:
        for number, reply in zip(outcome.pictures, outcome.replies, strict=True):
            picture = self._annotations.pictures[number]
            if "detections" in self._entries.get(picture.id, {}):
                continue
            if isinstance(reply, Answer) and reply[1:3] == (picture.width, picture.height):
                entry: dict[str, Any] = {"detections": reply.detections}
            elif isinstance(reply, Answer):
                seen = f"{reply.width} x {reply.height} pixels for the service"
                entry = {"error": {"kind": "size", "reason": f"{seen}, annotated otherwise"}}
            else:
                entry = {"error": {"kind": reply, "reason": f"not answered ({reply})"}}
            self._entries[picture.id] = entry

    def evaluated(
        self, options: argparse.Namespace, model: Model, summary: dict[str, Any]
    ) -> dict[str, Any]:
        """What `accuracy` writes as accuracy.json, and here too."""
        out = options.out
        about = {
            "command": options.command,
            "url": options.url,
            "model": model._asdict(),
            "annotations_sha256": self._annotations.sha256,
            "asked": len(self._entries),
            "wall_s": summary["seconds"],
            "images_per_s": summary["images_per_s"],
            "annotations": options.annotations.name,
            "settings": {**ASKED, "callers": options.workers, "limit": None, "names": None},
            "evaluated_by": self._tool,
        }
        report(out, about, self._annotations, self._entries, None)
        found: dict[str, Any] = json.loads((out / "accuracy.json").read_text(encoding="utf-8"))
        return found
