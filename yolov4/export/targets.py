"""A target -> its artefact: one signature, built for a CPU, a G4 (NVIDIA T4) or Inf1.

    cpu    float32, or bfloat16 where the CPU multiplies in it; int8 for some networks, if asked for
    g4     float16 from the first convolution to the last but the heads': half the memory, and what
           a T4's tensor cores multiply. XLA is the model server's switch. It compiles once for each
           batch size, so every size that the server may form is warmed up before it is AVAILABLE.
    inf1   the network compiled for NeuronCores, in float16 or bfloat16: see `yolov4.export.neuron`
    inf1-tf1   the same by TensorFlow 1.15, as in the AWS post: see `yolov4.export.neuron_tf1`

No T4 and no Inf1 have seen these artefacts yet; `verify` compares one with float32, where it runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yolov4.errors import ModelError
from yolov4.graph.precision import PRECISIONS, cpu_precision
from yolov4.load import pictures_in
from yolov4.network.model import Model
from yolov4.network.weights import conv_shapes


class Target(NamedTuple):
    precisions: tuple[str, ...]  # on the command line; the first unless asked otherwise
    warm_up: tuple[int, ...]  # batch sizes answered before the model counts as loaded


TARGETS = {
    "cpu": Target(("f32", "bf16", "int8"), (1,)),
    "g4": Target(("fp16", "f32"), (1, 2, 4, 8)),  # what the server's batching allows
    "inf1": Target(("fp16", "bf16"), (1, 4)),  # 4: one for each NeuronCore of an inf1.2xlarge
    "inf1-tf1": Target(("fp16", "f32"), (1, 4)),
}
NEURON = ("inf1", "inf1-tf1")
# The variables of Docker Compose for a target, where TARGET alone does not choose it.
COMPOSE = {"inf1-tf1": "TARGET=inf1 NEURON_TENSORFLOW=1.15"}


def choose_precision(target: str, wanted: str = "auto") -> str:
    """What to build a target in. ModelError if it does not know the one that is wanted."""
    known = TARGETS[target].precisions
    if wanted == "auto":
        return cpu_precision() if target == "cpu" else known[0]
    if wanted not in known:
        raise ModelError(f"--precision {wanted}: target {target} knows {' and '.join(known)}")
    return wanted


def artefact(
    target: str,
    model: Model,
    repository: Path,
    name: str,
    provenance: Mapping[str, Any],
    precision: str = "auto",
    warm_up: Sequence[int] = (),
    batch_size: int = 1,
    calibration_images: Path | None = None,
) -> Path:
    """Write `<repository>/<name>/<next version>/` for a target and return it.

    `precision`: as on the command line. `warm_up`: batch sizes of warm-up requests, by default the
    target's. `batch_size`: inf1's alone, how many pictures one run of a NeuronCore takes.
    `calibration_images`: a folder of pictures, which int8 needs.
    """
    if batch_size != 1 and target not in NEURON:
        raise ModelError(f"--batch-size is for target inf1: {target} takes any number of pictures")
    precision = PRECISIONS[choose_precision(target, precision)]
    if (precision == "int8") != (calibration_images is not None):
        raise ModelError(
            "--precision int8 needs --calibration-images, a folder of pictures, and no other "
            "precision does"
        )
    _check_range(model, precision)
    pictures = pictures_in(calibration_images) if calibration_images else []
    sizes = tuple(warm_up) or TARGETS[target].warm_up
    provenance = {**provenance, "target": target}
    # Only now: TensorFlow takes seconds to start, and choosing a target needs none of it.
    from yolov4.export.saved_model import export

    if pictures:
        from yolov4.export.calibration import int8_body

        provenance["calibration_images"] = len(pictures)
        body = int8_body(model, pictures)
        return export(model, repository, name, provenance, precision, sizes, body)
    if target not in NEURON:
        return export(model, repository, name, provenance, precision, sizes)
    provenance["batch_size"] = batch_size
    if target == "inf1-tf1":
        from yolov4.export.neuron_tf1 import body_16_bits, compiler

        compile_tf1 = compiler(batch_size)
        return export(
            *(model, repository, name, provenance, precision, sizes, body_16_bits, compile_tf1)
        )
    from yolov4.export.neuron import compile_body

    body, operations = compile_body(model.network, model.weights, precision, batch_size)
    provenance["chip_operations"] = operations
    return export(model, repository, name, provenance, precision, sizes, body)


def _check_range(model: Model, precision: str) -> None:
    """ModelError where a weight has no float16: it would be infinite, and so would every score."""
    if precision != "float16":
        return
    most = float(np.finfo(np.float16).max)
    for shape, numbers in zip(conv_shapes(model.network), model.weights, strict=True):
        largest = max(float(np.abs(part).max()) for part in numbers)
        if not largest <= most:
            raise ModelError(
                f"layer {shape.layer} has a weight of {largest:.4g}, and float16 ends at {most:.0f}"
                ": take another --precision"
            )
