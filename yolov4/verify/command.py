"""The commands `verify` and `cfgs`."""

import argparse
import sys
from pathlib import Path

from yolov4.load import add_model_arguments, load_model, pictures_in


def add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser(
        "verify", help="compare an exported model with its float32 reference"
    )
    verify.set_defaults(run=_verify)
    verify.add_argument("artefact", type=Path, help="version: model_repository/<name>/<number>")
    add_model_arguments(verify)
    verify.add_argument("--images", required=True, type=Path, help="folder of pictures")
    verify.add_argument(
        "--annotations", type=Path, help="COCO annotations; also reports AP for both models"
    )


def add_cfgs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    cfgs = commands.add_parser(
        "cfgs", help="tabulate which .cfg files are accepted, and how far they agree with OpenCV"
    )
    cfgs.set_defaults(run=_cfgs)
    cfgs.add_argument("folder", type=Path, help="folder of .cfg files, such as Darknet's cfg/")
    cfgs.add_argument(
        "--side",
        type=int,
        default=256,
        help="input width in pixels at which to compare, in whole strides (default: %(default)s)",
    )


def _cfgs(options: argparse.Namespace) -> None:
    from yolov4.verify.cfgs import survey

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    print(survey(options.folder, options.side, progress))


def _verify(options: argparse.Namespace) -> None:
    model = load_model(options.cfg, options.weights, options.names, options.size)
    pictures = pictures_in(options.images)
    from yolov4.verify.compare import verify

    print(verify(model, options.artefact, pictures, options.annotations))
