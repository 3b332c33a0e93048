"""The command line: `train` for your own pictures, `train-demo` for the bundled model."""

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolov4.errors import ModelError
from yolov4.load import CFG_NAMES, read_network
from yolov4.network.network import Network
from yolov4.network.weights import Array, count_floats

if TYPE_CHECKING:
    from yolov4.train.checkpoint import History, Plan
    from yolov4.train.data import Dataset
    from yolov4.verify.average_precision import Annotations

# The bundled model. With fewer residual blocks than YOLOv4's 1, 2, 8, 8 and 4, a step learns as
# much in a sixth less time. The scenes have the seeds 0, 1, ...
DEMO_SIZE = 224
# Larger than in training, where crops enlarge the shapes (Touvron et al., FixRes).
DEMO_SERVED_SIZE = 288
DEMO_WIDTH_MULTIPLIER = 0.117  # 2.8 MB of weights
DEMO_BLOCKS = (1, 1, 2, 2, 1)
DEMO_SCENES = 8000
DEMO_STEPS = 14_500
DEMO_SMALL_SHARE = 0.42  # of the steps
DEMO_RATE = 6e-3
DEMO_TOWERS = 2  # cores


def add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `train` and `train-demo` to the sub-commands."""
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

    demo = commands.add_parser(
        "train-demo", help="draw scenes and train the bundled model from scratch"
    )
    demo.set_defaults(run=_train_demo)
    demo.add_argument(
        "--out", type=Path, default=Path("trained"), help="output folder (default: %(default)s)"
    )
    demo.add_argument("--steps", type=int, default=DEMO_STEPS, help="(default: %(default)s)")
    demo.add_argument("--scenes", type=int, default=DEMO_SCENES, help="(default: %(default)s)")


def _train(options: argparse.Namespace) -> None:
    network, before = read_network(options.cfg, options.names, names_required=False)
    if min(options.steps, options.batch) < 1 or options.rate <= 0:
        raise ModelError("--steps and --batch must be at least 1, and --rate above 0")
    if not 0 <= options.validation < 1:
        raise ModelError("--validation must be at least 0, and below 1")
    if options.val_images and not options.val_annotations:
        raise ModelError("--val-images needs --val-annotations")
    _quiet()
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
    run = {"starting weights": digest}
    _run(options.out, options.name, network, vector, data, plan, run=run, held_out=validate)


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


def _draw_scenes(options: argparse.Namespace) -> None:
    from yolov4.demo.scenes import write_scenes

    if min(options.first, options.count - 1) < 0:
        raise ModelError("--first must be at least 0, and --count at least 1")
    try:
        path = write_scenes(range(options.first, options.first + options.count), options.out)
    except OSError as error:
        raise ModelError(f"cannot write {options.out}: {error.strerror}") from error
    sys.stdout.write(f"drawn: {options.count} scenes, annotated in {path}\n")


def _train_demo(options: argparse.Namespace) -> None:
    _quiet()
    import tensorflow as tf

    from yolov4.demo.scenes import write_scenes
    from yolov4.network.architecture import yolov4
    from yolov4.train.anchors import find_anchors
    from yolov4.train.checkpoint import Plan
    from yolov4.train.data import read_coco
    from yolov4.train.forward import initial
    from yolov4.train.loop import bar

    if min(options.steps, options.scenes) < 1:
        raise ModelError("--steps and --scenes must be at least 1")
    # So narrow a network uses only one core: half of each batch on each core is 1.5 times as fast
    # as one batch on both.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(DEMO_TOWERS)
    scenes = options.out / "scenes"
    annotations = scenes / "instances.json"
    if not annotations.exists():
        bar(f"drawing {options.scenes} scenes in {scenes}")
        write_scenes(range(options.scenes), scenes)
    data = read_coco(annotations, scenes, DEMO_SIZE, DEMO_SIZE)
    anchors = find_anchors(data, 9, DEMO_SIZE, DEMO_SIZE)
    size = DEMO_SIZE, DEMO_SIZE
    network = yolov4(*size, len(data.names), DEMO_WIDTH_MULTIPLIER, anchors, DEMO_BLOCKS)
    plan = Plan(
        options.steps,
        towers=DEMO_TOWERS,
        rate=DEMO_RATE,
        muon=True,
        small_steps=int(DEMO_SMALL_SHARE * options.steps),
    )
    served = DEMO_SERVED_SIZE, DEMO_SERVED_SIZE
    _run(options.out, "demo", network, initial(network, plan.seed), data, plan, served)


def _run(
    folder: Path,
    name: str,
    network: Network,
    vector: Array,
    data: "Dataset",
    plan: "Plan",
    served_size: tuple[int, int] | None = None,
    run: dict[str, str] | None = None,
    held_out: "tuple[Dataset, Annotations] | None" = None,
) -> None:
    from yolov4.darknet.writer import write_model
    from yolov4.train.loop import bar, train
    from yolov4.train.report import page
    from yolov4.train.validation import Validation

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"cannot write {folder}: {error.strerror}") from error
    counts = f"{len(data.pixels)} pictures, {len(data.names)} classes"
    bar(f"{counts}, {count_floats(network):,} parameters")
    report = folder / f"{name}.html"
    held = held_out[0].objects() if held_out else {}

    def write_page(history: "History") -> None:
        text = page(name, plan.steps, history, data.objects(), held)
        report.write_text(text, encoding="utf-8")

    run = {**(run or {}), "pictures or annotations": data.fingerprint}
    if held_out:
        run["validation pictures or annotations"] = held_out[0].fingerprint
    vector = train(
        *(network, vector, data, plan, folder / f"{name}.checkpoint.npz", bar),
        validate=Validation(network, *held_out, data.names) if held_out else None,
        record=write_page,
        run=run,
    )
    served = network.resized(*served_size) if served_size else network
    files = write_model(folder, name, served, vector, data.names, plan.steps * plan.batch)
    cfg, weights, names = files
    bar(
        f"trained: {weights}\ncurves and AP per class: {report}\n"
        f"export it: python -m yolov4 export --name {name} "
        f"--cfg {cfg} --weights {weights} --names {names}"
    )


def _quiet() -> None:
    # TensorFlow takes seconds to start, so arguments are checked before.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
