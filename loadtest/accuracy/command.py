"""`python -m loadtest accuracy`: COCO AP through `POST /detect`, as users call it.

Boxes are compared in the pixels that the service reports. A picture whose size differs from the
annotations (most likely it was stored rotated) counts as an error.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

from .. import CommandError
from ..client import Answer, Model, Service
from ..commands.options import add_command, positive
from ..commands.terminal import interruptible, progress_bar
from .answers import Answers
from .coco import Annotations, Picture, read_annotations
from .requests import QUERY, Rejected, answer_all, identify, model_labels


def add_accuracy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_command(commands, "accuracy", _run, "COCO AP of a served model")
    add("--annotations", required=True, type=Path, metavar="JSON", help="COCO annotations")
    names = "the model's .names file, for a service that does not report its labels"
    add("--names", type=Path, metavar="FILE", help=names)
    out = "directory for accuracy.json and detections.json"
    add("--out", type=Path, default=Path("accuracy"), metavar="DIR", help=out)
    add("--callers", type=positive, default=4, metavar="N", help="concurrent requests")
    add("--limit", type=positive, metavar="N", help="use the first N pictures only")
    resume = "continue from the answers in --out, or start over"
    add("--resume", choices=("yes", "no"), default="yes", help=resume)
    patience = "how long to retry a picture while the service is full or unavailable"
    add("--patience", type=float, default=30.0, metavar="SECONDS", help=patience)
    errors = "exit with status 0 although pictures failed; they count as without detections"
    add("--allow-errors", action="store_true", help=errors)


def _run(options: argparse.Namespace) -> int:
    from .average_precision import EVALUATED_BY  # before the run: pycocotools may be missing
    from .report import report

    annotations = read_annotations(options.annotations, options.images, options.limit)
    names = _read_names(options.names) if options.names else None
    path = options.out / "detections.partial.jsonl"
    with Answers(path, options.resume == "yes") as answers:
        reused = {
            picture.id
            for picture in annotations.pictures
            if "detections" in answers.by_picture.get(picture.id, {})
        }
        if reused:
            since = answers.about.get("started", "earlier")
            print(f"{len(reused)} pictures were answered before ({since})", file=sys.stderr)
        run = _Run(options, annotations, answers)
        labels, asked, seconds = asyncio.run(run.run(reused))
    entries = {picture.id: answers.by_picture[picture.id] for picture in annotations.pictures}
    about = {
        "command": options.command,
        **answers.about,
        "asked": asked,
        "wall_s": round(seconds, 6),
        "images_per_s": round(asked / seconds, 3) if asked else None,
        "annotations": options.annotations.name,
        "settings": {
            **QUERY,
            "callers": options.callers,
            "limit": options.limit,
            "labels": names or labels,
        },
        "evaluated_by": EVALUATED_BY,
    }
    failed = report(options.out, about, annotations, entries, names or labels)
    return 1 if failed and not options.allow_errors else 0


def _read_names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


class _Run:
    """Requests for the pictures that have no answer yet."""

    def __init__(
        self, options: argparse.Namespace, annotations: Annotations, answers: Answers
    ) -> None:
        self._options = options
        self._annotations = annotations
        self._answers = answers
        self._stop = asyncio.Event()

    async def run(self, reused: set[int]) -> tuple[list[str] | None, int, float]:
        """The model's labels, the number of pictures asked for, and the seconds it took."""
        options, pictures = self._options, self._annotations.pictures
        service = Service.at(options.url, options.key)
        missing = [picture for picture in pictures if picture.id not in reused]
        query = "?" + urlencode(QUERY)
        with interruptible(self._stop):
            try:
                first = missing or pictures
                self._model = await identify(service, first, query, options.patience, self._stop)
                labels = await model_labels(service)
                self._start()
                started = time.perf_counter()
                with progress_bar(len(pictures), len(reused)) as self._progress:
                    await answer_all(
                        service,
                        missing,
                        query,
                        options.callers,
                        options.patience,
                        self._add,
                        self._stop,
                    )
            except (CommandError, asyncio.CancelledError) as error:
                self._print_answered()
                if isinstance(error, asyncio.CancelledError):
                    raise KeyboardInterrupt from error
                raise
            if self._stop.is_set():
                self._print_answered()
                raise KeyboardInterrupt
        return labels, len(missing), time.perf_counter() - started

    def _start(self) -> None:
        about = {"url": self._options.url, "model": self._model._asdict(), "settings": QUERY}
        about |= {"annotations_sha256": self._annotations.sha256}
        self._answers.start(about, started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def _print_answered(self) -> None:
        pictures = self._annotations.pictures
        done = sum(picture.id in self._answers.by_picture for picture in pictures)
        if done:
            where = self._answers.path
            print(f"{done} of {len(pictures)} pictures are answered in {where}", file=sys.stderr)

    def _add(self, picture: Picture, answer: Answer | Rejected) -> None:
        error = unscorable(picture, answer, self._model)
        if error or isinstance(answer, Rejected):
            self._answers.add(picture.id, {"error": error})
        else:
            self._answers.add(picture.id, {"detections": answer.detections})
        self._progress.update()


def unscorable(picture: Picture, answer: Answer | Rejected, model: Model) -> dict[str, str]:
    """Why this answer cannot be scored; empty if it can."""
    if isinstance(answer, Rejected):
        return {"kind": answer.status, "reason": answer.reason}
    if answer.model != model:
        raise CommandError(
            f"the service now answers with {answer.model}, and did with {model}: the AP would be of"
            " neither. Serve one version and continue, or use --resume no to start over"
        )
    seen, annotated = (answer.width, answer.height), (picture.width, picture.height)
    if seen != annotated:
        reason = f"{seen[0]} x {seen[1]} pixels for the service, in the annotations "
        return {"kind": "size", "reason": reason + f"{annotated[0]} x {annotated[1]}"}
    return {}
