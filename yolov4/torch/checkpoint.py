"""Reads PyTorch checkpoints (`.pth`) of Tianxiaomo/pytorch-YOLOv4 without PyTorch.

A state dict keeps the order in which modules were registered, and that repository registers its
convolutions in exactly the order of Darknet's `yolov4.cfg`. So the n-th convolution of the file is
the n-th of the network, and no name is translated: names only confirm the order.

Sources: its models.py and tool/darknet2pytorch.py at commit a65d219, both of which leave
BatchNorm2d's epsilon at 1e-5, which is Darknet's.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from yolov4.errors import ModelError
from yolov4.network.network import Network
from yolov4.network.weights import (
    ConvShape,
    ConvWeights,
    conv_shapes,
    fold_batch_norm,
    unusable_variance,
)
from yolov4.torch.pickle import Tensor, read_pickle

Block: TypeAlias = dict[str, tuple[str, Tensor]]  # role -> name in the file, tensor

SUFFIXES = (".pth", ".pt")

# Top-level modules without their numbers. Other implementations of YOLOv4 may have the same shapes
# in another order, or another epsilon. `neek` is the spelling of the published yolov4.pth, and of
# models trained before 2020-05-20, whose pooled maps are in another order.
KNOWN = (["down", "neck", "head"], ["down", "neek", "head"], ["models"])

DIGITS = "0123456789"


def read_checkpoint(path: Path, network: Network) -> list[ConvWeights]:
    """Return the weights of a state dict for this network, batch normalization folded in.

    The dict may be nested under a key such as "state_dict", its names may start with "module.", and
    its values may be float16. No code in the file is run. Raises ModelError, with the tensor's
    name, unless the file holds exactly this network's convolutions, in order, with only finite
    values.
    """
    tensors = _state_dict(path, read_pickle(path))
    tops = list(dict.fromkeys(name.split(".")[0].rstrip(DIGITS) for name in tensors))
    if tops not in KNOWN:
        raise ModelError(
            f"{path}: its modules are {', '.join(tops[:5])}, but those of Tianxiaomo/pytorch-YOLOv4"
            " are down, neck, head, or models: other code may order its layers differently. "
            "Convert it to Darknet's .weights"
        )
    blocks: dict[str, Block] = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        # A convolution and its normalization share all but the last two parts of their names.
        block = blocks.setdefault(".".join(parts[:-2]), {})
        role = "kernel" if tensor.ndim == 4 else parts[-1]
        if role != "num_batches_tracked":  # used in training only, absent before PyTorch 0.4.1
            block[name if role in block else role] = name, tensor
    _check_order(path, blocks)
    wanted = conv_shapes(network)
    if len(blocks) != len(wanted):
        raise ModelError(
            f"{path} has {len(blocks)} convolutions, the last of them {[*blocks][-1]}, but the "
            f"network has {len(wanted)}. Was it trained with another .cfg?"
        )
    return [
        _conv(path, place, block, shape)
        for (place, block), shape in zip(blocks.items(), wanted, strict=True)
    ]


def _conv(path: Path, place: str, block: Block, wanted: ConvShape) -> ConvWeights:
    height, width, channels, filters = wanted.kernel
    vectors = ("bias", "weight", "running_mean", "running_var")
    shapes: dict[str, tuple[int, ...]] = {"kernel": (filters, channels, height, width)}
    shapes |= dict.fromkeys(vectors if wanted.batch_normalize else vectors[:1], (filters,))
    arrays = {}
    for role in {**shapes, **block}:
        name, tensor = block.get(role, (f"{place}, {role}", None))
        shape = shapes.get(role)
        if tensor is None or tensor.shape != shape or tensor.dtype.kind != "f":
            actual = f"{tensor.dtype} {list(tensor.shape)}" if tensor is not None else "missing"
            raise ModelError(
                f"{path}: {name} is {actual}, but layer {wanted.layer} needs "
                f"{f'float {list(shape)}' if shape else 'none'}. Was it trained with another .cfg, "
                "or for another number of classes?"
            )
        arrays[role] = tensor.astype(np.float32)
        if not np.isfinite(arrays[role]).all():
            raise ModelError(f"{path}: {name} contains NaN or infinity. Use an earlier checkpoint")
        if role == "running_var" and unusable_variance(tensor):
            raise ModelError(f"{path}: {name} contains a negative variance, so the file is damaged")
    kernel = arrays.pop("kernel").transpose(2, 3, 1, 0)
    if not wanted.batch_normalize:
        return ConvWeights(np.ascontiguousarray(kernel), arrays["bias"])
    return fold_batch_norm(kernel, *(arrays[role] for role in vectors))


def _check_order(path: Path, places: Iterable[str]) -> None:
    # Many convolutions have the same shape, so shapes alone would not reveal two that are swapped.
    # Numbered siblings must be in ascending order; for those without a number, shapes suffice.
    last: dict[tuple[str, ...], int] = {}
    for place in places:
        parts = place.split(".")
        for depth, part in enumerate(parts):
            stem = part.rstrip(DIGITS)
            number = int(part[len(stem) :] or 0)
            sibling = (*parts[:depth], stem)
            if number < last.get(sibling, 0):
                raise ModelError(
                    f"{path}: {place} follows a sibling with a higher number, but layers are "
                    "identified by their order. Save model.state_dict() unchanged"
                )
            last[sibling] = number


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {
        str(name).removeprefix("module."): tensor  # DataParallel adds it
        for name, tensor in (content.items() if isinstance(content, dict) else ())
        if isinstance(tensor, np.ndarray)
    }
    if not tensors:
        raise ModelError(f"{path} contains no named tensors. Save model.state_dict()")
    return tensors
