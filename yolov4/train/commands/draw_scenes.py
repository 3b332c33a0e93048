"""`draw-scenes`: labelled pictures of the bundled model's shapes."""

import argparse
import sys
from pathlib import Path

from yolov4.errors import ModelError


def add_draw_scenes(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scenes = commands.add_parser("draw-scenes", help="draw labelled scenes for the bundled model")
    scenes.set_defaults(run=_draw_scenes)
    scenes.add_argument("--out", type=Path, required=True, help="output folder")
    scenes.add_argument(
        "--first",
        type=int,
        default=1_000_000,
        help="first seed; 0 to 7999 were used in training (default: %(default)s)",
    )
    scenes.add_argument("--count", type=int, default=1000, help="(default: %(default)s)")


def _draw_scenes(options: argparse.Namespace) -> None:
    from yolov4.demo.scenes import write_scenes

    if min(options.first, options.count - 1) < 0:
        raise ModelError("--first must be at least 0, and --count at least 1")
    try:
        path = write_scenes(range(options.first, options.first + options.count), options.out)
    except OSError as error:
        raise ModelError(f"cannot write {options.out}: {error.strerror}") from error
    sys.stdout.write(f"drawn: {options.count} scenes, annotated in {path}\n")
