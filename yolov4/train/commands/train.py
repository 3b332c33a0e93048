"""`train`: a network on your own pictures, with COCO annotations."""

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from yolov4.errors import ModelError
from yolov4.load import CFG_NAMES, read_network
from yolov4.network.network import Network
from yolov4.train.commands.run import quiet, run

if TYPE_CHECKING:
    from yolov4.train.data import Dataset
    from yolov4.verify.average_precision import Annotations


def add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser("train", help="train or fine-tune a model on COCO annotations")
    train.set_defaults(run=_train)
    train.add_argument("--data", required=True, type=Path, help="COCO annotation file")
    train.add_argument("--images", required=True, type=Path, help="folder of the pictures")
    train.add_argument(
        "--cfg", required=True, help=f"Darknet .cfg file, or built in: {', '.join(CFG_NAMES)}"
    )
    train.add_argument(
        "--weights",
        type=Path,
        help="weights to start from, whole or partial such as yolov4.conv.137 (default: random)",
    )
    train.add_argument(
        "--names",
        type=Path,
        help="class names of the weights: classes that are also annotated keep their weights "
        "(default: COCO's 80 for yolov4 and yolov4-tiny)",
    )
    train.add_argument(
        "--class",
        dest="classes",
        action="append",
        metavar="NAME",
        help="train on this category only; repeatable (default: all categories)",
    )
    train.add_argument(
        "--out", type=Path, default=Path("trained"), help="output folder (default: %(default)s)"
    )
    train.add_argument(
        "--name", default="trained", help="base name of the files (default: %(default)s)"
    )
    train.add_argument("--steps", type=int, default=1000, help="(default: %(default)s)")
    train.add_argument("--batch", type=int, default=8, help="batch size (default: %(default)s)")
    train.add_argument(
        "--rate", type=float, default=2e-4, help="peak learning rate (default: %(default)s)"
    )
    train.add_argument(
        "--validation",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the pictures held out to measure AP and keep the best weights; 0: none, the "
        "last weights are kept (default: %(default)s)",
    )
    train.add_argument(
        "--val-annotations",
        type=Path,
        metavar="FILE",
        help="COCO annotation file of other pictures to validate on, instead of --validation",
    )
    train.add_argument(
        "--val-images", type=Path, metavar="FOLDER", help="their folder (default: --images)"
    )
    train.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")


def _train(options: argparse.Namespace) -> None:
    network, before = read_network(options.cfg, options.names, names_required=False)
    if min(options.steps, options.batch) < 1 or options.rate <= 0:
        raise ModelError("--steps and --batch must be at least 1, and --rate above 0")
    if not 0 <= options.validation < 1:
        raise ModelError("--validation must be at least 0, and below 1")
    if options.val_images and not options.val_annotations:
        raise ModelError("--val-images needs --val-annotations")
    quiet()
    from yolov4.train.checkpoint import Plan
    from yolov4.train.forward import initial
    from yolov4.train.loop import bar
    from yolov4.train.transfer import starting_vector, trainable, transfer

    network = trainable(network)
    if options.weights:
        vector, copied = starting_vector(options.weights, network, options.seed)
    else:
        vector = initial(network, options.seed)
    data, validate = _read_data(options, network)
    network, vector = transfer(network, vector, before, data.names, options.seed)
    if options.weights:
        fresh = [name for name in data.names if name not in before]
        if copied < len(network.layers):
            what = f"0 to {copied - 1}; the others start from scratch"
        else:
            what = f"class scores of {', '.join(fresh)} start from scratch" if fresh else "all"
        bar(f"layers copied from {options.weights}: {what}")
    plan = Plan(
        steps=options.steps,
        batch=options.batch,
        mosaics=options.batch // 4,
        rate=options.rate,
        warm_up=min(100, options.steps // 10 + 1),
        seed=options.seed,
        checkpoint_every=max(1, min(100, options.steps // 20)),
        validate_every=max(1, options.steps // 10),
    )
    start = options.weights.read_bytes() if options.weights else b""
    digest = hashlib.sha256(start + "\n".join(before).encode()).hexdigest()
    started = {"starting weights": digest}
    run(
        *(options.out, options.name, network, vector, data, plan),
        identity=started,
        held_out=validate,
    )


def _read_data(
    options: argparse.Namespace, network: Network
) -> "tuple[Dataset, tuple[Dataset, Annotations] | None]":
    """The pictures to train on, and those held out with their annotations."""
    from yolov4.train.data import read_coco
    from yolov4.train.loop import bar
    from yolov4.train.validation import hold_out
    from yolov4.verify.average_precision import read_annotations

    size, only = (network.width, network.height), set(options.classes or ())
    if not (options.val_annotations or options.validation):
        data = read_coco(options.data, options.images, *size, only)
        _warn_of_missing(data, "training")
        return data, None
    truth = read_annotations(options.val_annotations or options.data)
    if options.val_annotations:
        data = read_coco(options.data, options.images, *size, only)
        images = options.val_images or options.images
        held = read_coco(options.val_annotations, images, *size, only)
    else:
        chosen = hold_out(truth, options.validation, only)
        others = {picture["file_name"] for picture in truth.pictures} - chosen
        data = read_coco(options.data, options.images, *size, only, others)
        held = read_coco(options.data, options.images, *size, only, chosen)
    bar(f"{len(data.files)} pictures to train on, {len(held.files)} to validate on")
    _warn_of_missing(data, "training")
    _warn_of_missing(held, "validation")
    return data, (held, truth)


def _warn_of_missing(data: "Dataset", part: str) -> None:
    from yolov4.train.loop import bar

    missing = [name for name, count in data.objects().items() if not count]
    effect = "they cannot be learned" if part == "training" else "their AP is not known"
    if missing:
        bar(f"warning: the {part} pictures show no {', '.join(missing)}: {effect}")
