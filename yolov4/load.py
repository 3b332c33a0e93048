"""A model from its files: a `.cfg` or a built-in architecture, `.weights` or `.pth`, `.names`."""

import argparse
import re
from pathlib import Path

from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_weights
from yolov4.errors import ModelError
from yolov4.network.architecture import BUILT_IN
from yolov4.network.model import Model
from yolov4.network.network import Network
from yolov4.torch.checkpoint import SUFFIXES, read_checkpoint

HERE = Path(__file__).parent
COCO_NAMES = HERE / "darknet" / "coco.names"  # Darknet's own file, in the public domain
DEMO = "demo"  # the bundled model: its `.cfg`, `.weights` and `.names`
CFG_NAMES = (*BUILT_IN, DEMO)
PICTURES = (".jpg", ".jpeg", ".png")


def read_network(
    cfg: str, names: Path | None, names_required: bool = True
) -> tuple[Network, list[str]]:
    """The network of a `.cfg` file or of one of CFG_NAMES, and the names of its classes.

    names: one for each class. A built-in architecture gets as many classes as there are names,
    COCO's 80 if `names` is None. The result's names are empty if they are neither given nor
    required. Raises ModelError for files that cannot be read or do not match.
    """
    if cfg in BUILT_IN:
        labels = read_names(names or COCO_NAMES)
        return BUILT_IN[cfg](classes=len(labels)), labels
    path = _demo("cfg") if cfg == DEMO else Path(cfg)
    if not path.exists():
        raise ModelError(f"--cfg {cfg}: no such file; built in: {', '.join(CFG_NAMES)}")
    network = read_cfg(path)
    if names is None and cfg != DEMO:
        if not names_required:
            return network, []
        raise ModelError("--names is missing: a file with one class name per line")
    return network, read_names(names or _demo("names"), network.classes)


def load_model(
    cfg: str,
    weights: Path | None = None,
    names: Path | None = None,
    size: tuple[int, int] | None = None,
) -> Model:
    """The model for the command line's `--cfg`, `--weights`, `--names` and `--size`.

    size: width and height in pixels, instead of the `.cfg`'s. ModelError as its readers.
    """
    network, labels = read_network(cfg, names)
    if size:
        network = network.resized(*size)
    path = weights_path(cfg, weights)
    read = read_checkpoint if path.suffix.lower() in SUFFIXES else read_weights
    return Model(network, read(path, network), labels)


def weights_path(cfg: str, weights: Path | None) -> Path:
    """`weights`, or the bundled model's own. ModelError where there is neither."""
    if weights is None and cfg != DEMO:
        raise ModelError("--weights is missing: a .weights file, or a .pth of pytorch-YOLOv4")
    return weights or _demo("weights")


def pictures_in(folder: Path) -> list[Path]:
    """The folder's pictures in the order of their names. ModelError if there are none."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder")
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES)
    if not found:
        raise ModelError(f"no pictures ({', '.join(PICTURES)}) in {folder}")
    return found


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    """Add `--cfg`, `--weights`, `--names` and `--size` to a command."""
    command.add_argument(
        "--cfg", required=True, help=f"Darknet .cfg file, or built in: {', '.join(CFG_NAMES)}"
    )
    command.add_argument(
        "--weights", type=Path, help="Darknet .weights file, or a .pth of pytorch-YOLOv4"
    )
    command.add_argument(
        "--names",
        type=Path,
        help="class names, one per line (default: COCO's 80 for yolov4 and yolov4-tiny)",
    )
    command.add_argument(
        "--size", type=_size, help="input size in pixels, 416 or 512x384 (default: the .cfg's)"
    )


def _demo(suffix: str) -> Path:
    return HERE / "demo" / f"demo.{suffix}"


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: 416 or 512x384 expected")
    return int(match[1]), int(match[2] or match[1])
