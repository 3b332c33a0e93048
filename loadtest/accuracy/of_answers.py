"""AP of the answers that `throughput` receives anyway: each picture's first."""

import argparse
import asyncio
import json
from typing import Any

from ..client import Answer, Model, Outcome, Service
from ..run import Summary
from .average_precision import EVALUATED_BY
from .coco import read_annotations
from .command import unscorable
from .report import report
from .requests import QUERY, model_labels


class AnswerAccuracy:
    """`paths`: the annotated pictures, no more than the run sends."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._annotations = read_annotations(options.annotations, options.images, options.pictures)
        self.paths = [picture.path for picture in self._annotations.pictures]
        self._entries: dict[int, dict[str, Any]] = {}
        self._model: Model | None = None

    def add(self, outcome: Outcome) -> None:
        for number, answer in zip(outcome.pictures, outcome.answers, strict=True):
            picture = self._annotations.pictures[number]
            if "detections" in self._entries.get(picture.id, {}):
                continue
            if isinstance(answer, Answer):
                self._model = self._model or answer.model
                error = unscorable(picture, answer, self._model)
                entry = {"error": error} if error else {"detections": answer.detections}
            else:
                entry = {"error": {"kind": answer, "reason": f"not answered ({answer})"}}
            self._entries[picture.id] = entry

    def evaluate(self, model: Model, summary: Summary) -> dict[str, Any]:
        """Write the files of `accuracy` into --out; the content of accuracy.json."""
        options = self._options
        labels = asyncio.run(model_labels(Service.at(options.url, options.key)))
        about = {
            "command": options.command,
            "url": options.url,
            "model": model._asdict(),
            "annotations_sha256": self._annotations.sha256,
            "asked": len(self._entries),
            "wall_s": summary.seconds,
            "images_per_s": summary.images_per_s,
            "annotations": options.annotations.name,
            "settings": {**QUERY, "callers": options.workers, "limit": None, "labels": labels},
            "evaluated_by": EVALUATED_BY,
        }
        report(options.out, about, self._annotations, self._entries, labels)
        content: dict[str, Any] = json.loads((options.out / "accuracy.json").read_text("utf-8"))
        return content
