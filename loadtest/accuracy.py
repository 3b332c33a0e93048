"""`python -m loadtest accuracy`: COCO AP through the door that users enter, `POST /detect`.

Boxes are compared in the pixels that the service reports. A picture whose size it sees otherwise
than the annotations say (it was stored turned, most likely) counts as an error.
"""

import argparse
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from .accuracy_report import report
from .answers import Answers
from .average_precision import check_pycocotools
from .caller import Answer, Caller, Model, Refused
from .callers import ask
from .coco import Annotations, Picture, read_annotations
from .progress import Progress
from .stopped import Stopped

# As COCO is evaluated: nearly everything a model sees, and no more than the evaluation looks at.
QUERY = {"score_threshold": 0.001, "max_detections": 100}


def add_accuracy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("accuracy", help="COCO AP of a served model")
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("--url", required=True, help="of the service, such as http://localhost:8000")
    add("--images", required=True, type=Path, metavar="DIR", help="the folder of the pictures")
    add("--annotations", required=True, type=Path, metavar="JSON", help="in COCO's format")
    names = "the model's .names: only categories that it has are evaluated, the others are listed"
    add("--names", type=Path, metavar="FILE", help=names)
    add("--out", type=Path, default=Path("accuracy"), metavar="DIR", help="(default: %(default)s)")
    add("--callers", type=_positive, default=4, metavar="N", help="(default: %(default)s)")
    add("--limit", type=_positive, metavar="N", help="the first N pictures only")
    resume = "go on from the answers kept in --out, or ask anew (default: %(default)s)"
    add("--resume", choices=("yes", "no"), default="yes", help=resume)
    patience = "how long a service that is full or away is waited for (default: %(default)s)"
    add("--patience", type=float, default=30, metavar="SECONDS", help=patience)
    errors = "status 0 although pictures failed; they count as without detections all the same"
    add("--allow-errors", action="store_true", help=errors)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: 1 or more expected")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    tool = f"pycocotools {check_pycocotools()}"
    annotations = read_annotations(options.annotations, options.images, options.limit)
    names = _read_names(options.names, annotations) if options.names else None
    path = options.out / "detections.partial.jsonl"
    with Answers(path, options.resume == "yes") as answers:
        kept = [p for p in annotations.pictures if "detections" in answers.by_picture.get(p.id, {})]
        if kept:
            since = answers.about.get("started", "earlier")
            print(f"{len(kept)} pictures were answered before ({since})", file=sys.stderr)
        asked, seconds = _ask(options, annotations, answers, {picture.id for picture in kept})
    settings = {**QUERY, "callers": options.callers, "limit": options.limit, "names": names}
    rate = round(asked / seconds, 3) if asked else None
    measured = {"asked": asked, "wall_s": round(seconds, 6), "images_per_s": rate}
    entries = {picture.id: answers.by_picture[picture.id] for picture in annotations.pictures}
    about = {"command": options.command, **answers.about, **measured}
    about |= {"annotations": options.annotations.name, "settings": settings, "evaluated_by": tool}
    errors = report(options.out, about, annotations, entries, names)
    return 1 if errors and not options.allow_errors else 0


def _read_names(path: Path, annotations: Annotations) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Stopped(f"cannot read {path}: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if all(annotations.category(name) is None for name in names):
        raise Stopped(f"{path} has no class that is a category of the annotations")
    return names


def _ask(
    options: argparse.Namespace, annotations: Annotations, answers: Answers, kept: set[int]
) -> tuple[int, float]:
    """Ask for what is not in `answers`: how many pictures, in how many seconds."""

    def caller(stop: threading.Event) -> Caller:
        return Caller(options.url, urlencode(QUERY), options.patience, stop)

    missing = [picture for picture in annotations.pictures if picture.id not in kept]
    with closing(caller(threading.Event())) as first:
        model = _model(first, missing or annotations.pictures)
    about = {"url": options.url, "model": model._asdict(), "settings": QUERY}
    about |= {"annotations_sha256": annotations.sha256}
    answers.start(about, started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    started = time.perf_counter()
    done = len(kept)
    try:
        with (
            Progress(len(annotations.pictures), done) as progress,
            closing(ask(missing, options.callers, caller)) as outcomes,
        ):
            for picture, outcome in outcomes:
                error = _error(picture, outcome, model)
                if isinstance(outcome, Answer) and not error:
                    answers.add(picture.id, {"detections": outcome.detections})
                else:
                    answers.add(picture.id, {"error": error})
                done += 1
                progress.step(error=bool(error))
    except (Stopped, KeyboardInterrupt, SystemExit):
        total = len(annotations.pictures)
        print(f"{done} of {total} pictures: their answers are in {answers.path}", file=sys.stderr)
        raise
    return len(missing), time.perf_counter() - started


def _model(caller: Caller, pictures: list[Picture]) -> Model:
    """Who answers. The answer itself is not kept: it is the warm-up."""
    refusal: Refused | None = None
    for picture in pictures:
        try:
            return caller.detect(picture.read()).model
        except Refused as error:
            refusal = error
    raise Stopped(f"every picture was refused; the last one: {refusal}")


def _error(picture: Picture, outcome: Answer | Refused, model: Model) -> dict[str, str]:
    """Why this is no answer that may be compared with the annotations; empty where it is one."""
    if isinstance(outcome, Refused):
        return {"kind": outcome.kind, "reason": str(outcome)}
    if outcome.model != model:
        raise Stopped(
            f"the answers are of {outcome.model} now, and were of {model}: AP would be of neither."
            " Have one version served, and go on; or --resume no to start anew"
        )
    seen, annotated = (outcome.width, outcome.height), (picture.width, picture.height)
    if seen != annotated:
        reason = f"{seen[0]} x {seen[1]} pixels for the service, in the annotations "
        return {"kind": "size", "reason": reason + f"{annotated[0]} x {annotated[1]}"}
    return {}
