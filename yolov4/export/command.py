"""The commands `export` and `prepare`."""

import argparse
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from yolov4.download.command import fetch_official
from yolov4.download.official import WEIGHTS
from yolov4.errors import ModelError
from yolov4.export.repository import versions
from yolov4.export.targets import COMPOSE, NEURON, TARGETS, artefact, choose_precision
from yolov4.graph.precision import PRECISIONS
from yolov4.load import CFG_NAMES, DEMO, add_model_arguments, load_model, weights_path
from yolov4.network.network import Network
from yolov4.network.weights import count_floats

Commands = argparse._SubParsersAction  # its generic parameter exists for type checkers only


def add_export(commands: "Commands[argparse.ArgumentParser]") -> None:
    export = commands.add_parser("export", help="export a Darknet model as a SavedModel")
    export.set_defaults(run=_export)
    export.add_argument("--name", required=True, type=_name, help="model name used in requests")
    add_model_arguments(export)
    _add_target(export)
    export.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="auto: bf16 on CPUs with AMX, otherwise f32; fp16 on accelerators "
        "(default: %(default)s)",
    )
    export.add_argument(
        "--calibration-images",
        type=Path,
        metavar="FOLDER",
        help="int8 only: pictures like those to come, two dozen or more, to find how large the "
        "network's numbers become",
    )
    export.add_argument(
        "--nms",
        choices=("darknet", "plain"),
        default="darknet",
        help="darknet: suppress boxes as the .cfg says (nms_kind, beta_nms); plain: by IoU alone, "
        "as OpenCV does (default: %(default)s)",
    )
    export.add_argument(
        "--warm-up",
        type=_sizes,
        default=(),
        help="batch sizes to run before the model is AVAILABLE (default: "
        + "; ".join(f"{name} {','.join(map(str, t.warm_up))}" for name, t in TARGETS.items())
        + ")",
    )
    export.add_argument(
        "--batch-size",
        type=int,
        choices=range(1, 33),
        metavar="N",
        default=1,
        help="inf1 only: batch size of the compiled program (default: %(default)s, the fastest)",
    )


def add_prepare(commands: "Commands[argparse.ArgumentParser]") -> None:
    prepare = commands.add_parser(
        "prepare", help="export a model unless the repository has a version for the target"
    )
    prepare.set_defaults(run=_prepare)
    prepare.add_argument("name", type=_name, help=f"model; built in: {', '.join(CFG_NAMES)}")
    prepare.add_argument("--cfg", help="Darknet .cfg file, for a model that is not built in")
    prepare.add_argument("--weights", type=Path, help="its .weights file")
    prepare.add_argument("--names", type=Path, help="its class names, one per line")
    _add_target(prepare)
    prepare.add_argument(
        "--downloads",
        type=Path,
        default=Path("weights"),
        help="folder of the official weights (default: %(default)s)",
    )
    prepare.add_argument("--force", action="store_true", help="export a new version in any case")


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--repository",
        type=Path,
        default=Path("model_repository"),
        help="model repository directory (default: %(default)s)",
    )
    command.add_argument(
        "--target",
        choices=TARGETS,
        default="cpu",
        help="hardware of the model server (default: %(default)s)",
    )


def _prepare(options: argparse.Namespace) -> None:
    """Export with the target's defaults, where no version of the target is there yet."""
    folder = options.repository / options.name
    there = versions(folder) if folder.is_dir() else []
    if there and not options.force:
        version = folder / str(there[-1])
        target = _target(version)
        if target in (None, options.target):
            print(f"{version} exists")
            return
        print(f"{version} is for {target}: exporting a version for {options.target}")
    cfg, weights = options.cfg, options.weights
    if not cfg and options.name in CFG_NAMES:
        cfg = options.name
    if not cfg or not (weights or options.name in (DEMO, *WEIGHTS)):
        raise ModelError(
            f"{options.repository} has no version of {options.name} for {options.target}: "
            "give --cfg, --weights and --names (CFG, WEIGHTS and NAMES with Docker Compose)"
        )
    if not weights and cfg != DEMO:
        weights = fetch_official(options.name, options.downloads)
    options = argparse.Namespace(**{**vars(options), "cfg": cfg, "weights": weights})
    options.precision, options.nms, options.size = "auto", "darknet", None
    options.warm_up, options.batch_size, options.calibration_images = (), 1, None
    _write_version(options)


def _target(version: Path) -> str | None:
    """What a version was exported for; None if another program made it and does not say so."""
    about = version / "assets.extra" / "model.json"
    if not about.exists():
        return None
    try:
        return str(json.loads(about.read_text(encoding="utf-8")).get("target", "cpu"))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{about} cannot be read: {error}") from error


def _export(options: argparse.Namespace) -> None:
    _write_version(options)
    serve = f"make run MODEL={options.name}"
    if options.target != "cpu":
        variables = COMPOSE.get(options.target, f"TARGET={options.target}")
        serve = f"{variables} MODEL={options.name} docker compose up -d --wait"
    print(f"serve it: {serve}")


def _write_version(options: argparse.Namespace) -> None:
    model = load_model(options.cfg, options.weights, options.names, options.size)
    if options.nms == "plain":
        model = replace(model, network=replace(model.network, nms_beta=None))
    beta = model.network.nms_beta
    precision = choose_precision(options.target, options.precision)
    print(f"{_summary(model.network)}, {precision}", flush=True)
    weights = weights_path(options.cfg, options.weights)
    provenance = {
        "cfg": Path(options.cfg).name,
        "weights": weights.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "nms": "IoU" if beta is None else f"DIoU, beta {beta:g}",
    }
    try:
        version = artefact(
            *(options.target, model, options.repository, options.name),
            *(provenance, precision, options.warm_up, options.batch_size),
            options.calibration_images,
        )
    except OSError as error:
        raise ModelError(f"cannot write {options.repository}: {error.strerror}") from error
    if options.target in NEURON:
        from yolov4.export.neuron import chip_share

        chip, every = chip_share(version)
        print(f"on the chip: {chip} of {every} operations, {chip / every:.0%}, in one program")
    print(f"exported: {version}", flush=True)


def _summary(network: Network) -> str:
    return (
        f"{len(network.layers)} layers, {count_floats(network):,} parameters, "
        f"{network.width}x{network.height} pixels, {network.classes} classes"
    )


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: letters, digits, '.', '_' and '-' expected, the first a letter or digit"
        )
    return text


def _sizes(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d{0,2}(,[1-9]\d{0,2})*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: batch sizes such as 1,2,4,8 expected")
    return tuple(map(int, text.split(",")))
