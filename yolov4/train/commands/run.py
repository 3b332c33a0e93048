"""A training run, and the files that it leaves."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from yolov4.errors import ModelError
from yolov4.network.network import Network
from yolov4.network.weights import Array, count_floats

if TYPE_CHECKING:
    from yolov4.train.checkpoint import History, Plan
    from yolov4.train.data import Dataset
    from yolov4.verify.average_precision import Annotations


def run(
    folder: Path,
    name: str,
    network: Network,
    vector: Array,
    data: "Dataset",
    plan: "Plan",
    served_size: tuple[int, int] | None = None,
    identity: dict[str, str] | None = None,
    held_out: "tuple[Dataset, Annotations] | None" = None,
) -> None:
    """Trains, and writes Darknet files and a report. `served_size`: the files' input size, if it is
    not that of training. `identity`: what a run must share to continue from the checkpoint."""
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

    identity = {**(identity or {}), "pictures or annotations": data.fingerprint}
    if held_out:
        identity["validation pictures or annotations"] = held_out[0].fingerprint
    vector = train(
        *(network, vector, data, plan, folder / f"{name}.checkpoint.npz", bar),
        validate=Validation(network, *held_out, data.names) if held_out else None,
        record=write_page,
        run=identity,
    )
    served = network.resized(*served_size) if served_size else network
    files = write_model(folder, name, served, vector, data.names, plan.steps * plan.batch)
    cfg, weights, names = files
    bar(
        f"trained: {weights}\ncurves and AP per class: {report}\n"
        f"export it: python -m yolov4 export --name {name} "
        f"--cfg {cfg} --weights {weights} --names {names}"
    )


def quiet() -> None:
    """Call before TensorFlow is imported, which takes seconds: arguments are checked before."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
