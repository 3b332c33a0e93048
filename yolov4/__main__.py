"""The command line, `python -m yolov4`. What is refused costs one sentence and status 2."""

import argparse
import hashlib
import os
import re
import signal
import sys
import warnings
from pathlib import Path

from yolov4.architecture import BUILT_IN
from yolov4.compile import TARGETS, artefact, choose_precision
from yolov4.darknet import read_cfg, read_names, read_weights
from yolov4.download import COCO_NAMES, WEIGHTS, download
from yolov4.network import ModelError, Network
from yolov4.precision import PRECISIONS
from yolov4.torch_checkpoint import SUFFIXES, read_checkpoint
from yolov4.train.command import add_train
from yolov4.weights import ConvWeights, count_floats

PICTURES = (".jpg", ".jpeg", ".png")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m yolov4", description="Make servable models.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_export(commands)
    _add_verify(commands)
    add_train(commands)
    _add_download(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser("export", help="Darknet's files -> a SavedModel")
    export.set_defaults(run=_export)
    export.add_argument("--name", required=True, type=_name, help="what callers will know it by")
    _add_model(export)
    export.add_argument(
        "--repository",
        type=Path,
        default=Path("model_repository"),
        help="where models lie (default: %(default)s)",
    )
    export.add_argument(
        "--target", choices=TARGETS, default="cpu", help="what serves it (default: %(default)s)"
    )
    export.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default="auto",
        help="auto: fp16, but for cpu bf16 where this CPU multiplies in it, else f32 "
        "(default: %(default)s)",
    )
    export.add_argument(
        "--warm-up",
        type=_sizes,
        default=(),
        help="batch sizes to answer before the model counts as loaded (default: "
        + "; ".join(f"{name} {','.join(map(str, t.warm_up))}" for name, t in TARGETS.items())
        + ")",
    )
    export.add_argument(
        "--batch-size",
        type=int,
        choices=range(1, 33),
        metavar="N",
        default=1,
        help="inf1: pictures that one run of a NeuronCore takes (default: %(default)s, the best)",
    )


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cfg", required=True, help=f"a Darknet .cfg, or built in: {', '.join(BUILT_IN)}"
    )
    command.add_argument(
        "--weights", required=True, type=Path, help="its .weights, or a .pth of pytorch-YOLOv4"
    )
    command.add_argument("--names", required=True, type=Path, help="its classes, one per line")
    command.add_argument(
        "--size", type=_size, help="input pixels, 416 or 512x384 (default: what the cfg says)"
    )


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verify = commands.add_parser("verify", help="an artefact beside float32, on your pictures")
    verify.set_defaults(run=_verify)
    verify.add_argument("artefact", type=Path, help="a version: model_repository/<name>/<number>")
    _add_model(verify)
    verify.add_argument("--images", required=True, type=Path, help="a folder of pictures")
    verify.add_argument(
        "--annotations", type=Path, help="of them, in COCO's format: AP of both is given too"
    )


def _add_download(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("download", help="the official COCO weights")
    command.set_defaults(run=_download)
    command.add_argument("model", choices=WEIGHTS)
    command.add_argument(
        "--to", type=Path, default=Path("weights"), help="a folder (default: %(default)s)"
    )


def _download(options: argparse.Namespace) -> None:
    weights = options.to / f"{options.model}.weights"
    names = options.to / "coco.names"
    download(WEIGHTS[options.model], weights)
    names.write_text("\n".join(COCO_NAMES) + "\n", encoding="utf-8")
    print(
        f"downloaded and checked: {weights}\nmake it a model: make model NAME={options.model} "
        f"CFG={options.model} WEIGHTS={weights} NAMES={names}"
    )


def _load(options: argparse.Namespace) -> tuple[Network, list[ConvWeights], list[str]]:
    if options.cfg in BUILT_IN:
        names = read_names(options.names)
        network = BUILT_IN[options.cfg](classes=len(names))
    else:
        network = read_cfg(_cfg_path(options.cfg))
        names = read_names(options.names, network.classes)
    if options.size:
        network = network.resized(*options.size)
    of_torch = options.weights.suffix.lower() in SUFFIXES
    weights = (read_checkpoint if of_torch else read_weights)(options.weights, network)
    return network, weights, names


def _verify(options: argparse.Namespace) -> None:
    network, weights, names = _load(options)
    pictures = sorted(p for p in options.images.glob("*") if p.suffix.lower() in PICTURES)
    if not pictures:
        raise ModelError(f"no pictures ({', '.join(PICTURES)}) in {options.images}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from yolov4.verify import verify

    print(verify(network, weights, names, options.artefact, pictures, options.annotations))


def _export(options: argparse.Namespace) -> None:
    network, weights, names = _load(options)
    precision = choose_precision(options.target, options.precision)
    print(f"{_summary(network)}, {precision}", flush=True)

    # What goes wrong TensorFlow raises; what it logs besides is about GPUs an export does not use.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    provenance = {
        "cfg": Path(options.cfg).name,
        "weights": options.weights.name,
        "weights_sha256": hashlib.sha256(options.weights.read_bytes()).hexdigest(),
    }
    try:
        version = artefact(
            *(options.target, network, weights, names, options.repository, options.name),
            *(provenance, precision, options.warm_up, options.batch_size),
        )
    except OSError as error:
        raise ModelError(f"cannot write {options.repository}: {error.strerror}") from error
    if options.target == "inf1":
        from yolov4.neuron import chip_share

        chip, every = chip_share(version)
        print(f"on the chip: {chip} of {every} operations, {chip / every:.0%}, in one program")
    print(f"written: {version}")
    at_home = options.target == "cpu"
    print(
        "serve it:",
        f"make run MODEL={options.name}" if at_home else f"docs/deploy/{options.target}.md",
    )


def _summary(network: Network) -> str:
    return (
        f"{len(network.layers)} layers, {count_floats(network):,} floats, "
        f"{network.width}x{network.height} pixels, {network.classes} classes"
    )


def _cfg_path(cfg: str) -> Path:
    path = Path(cfg)
    if not path.exists():
        raise ModelError(f"--cfg {cfg}: no such file, and built in are only {', '.join(BUILT_IN)}")
    return path


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


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: 416 or 512x384 expected")
    return int(match[1]), int(match[2] or match[1])


if __name__ == "__main__":
    # Left as it is, SIGTERM would end the process without the clean-up an interrupt gets.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    sys.exit(main())
