"""A PyTorch checkpoint, `.pth`, of Tianxiaomo/pytorch-YOLOv4 -> arrays. PyTorch is not needed.

A state dict keeps the order in which modules were registered, and that repository registers its
convolutions in the order of Darknet's `yolov4.cfg`, without an exception. So the n-th of the file
is the n-th of the network, and no name is translated: names only vouch for the order.

Sources: its models.py and tool/darknet2pytorch.py at commit a65d219, both of which leave
BatchNorm2d's epsilon at 1e-5, which is Darknet's.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from yolov4.errors import ModelError
from yolov4.network.layers import Network
from yolov4.network.weights import ConvShape, ConvWeights, conv_shapes, fold_batch_norm
from yolov4.torch.pickle import Tensor, read_pickle

Block: TypeAlias = dict[str, tuple[str, Tensor]]  # role -> name in the file, tensor

SUFFIXES = (".pth", ".pt")

# The modules at the top, without their numbers. Anybody else's YOLOv4 may have the same shapes in
# another order, or another epsilon. `neek` is what the published yolov4.pth says. What models.py
# trained before 2020-05-20, when its pooled maps stood in another order, says so too.
KNOWN = (["down", "neck", "head"], ["down", "neek", "head"], ["models"])

DIGITS = "0123456789"


def read_checkpoint(path: Path, network: Network) -> list[ConvWeights]:
    """The numbers of a state dict for this network, batch normalization folded in.

    The dict may lie under "state_dict" and the like, its names may begin with "module.", and its
    numbers may be float16. Nothing in the file is run. ModelError, with the tensor's name, unless
    it holds exactly this network's convolutions, in order, and numbers that are some.
    """
    tensors = _state_dict(path, read_pickle(path))
    tops = list(dict.fromkeys(name.split(".")[0].rstrip(DIGITS) for name in tensors))
    if tops not in KNOWN:
        raise ModelError(
            f"{path}: its modules are {', '.join(tops[:5])}, but those of Tianxiaomo/pytorch-YOLOv4"
            " are down, neck, head, or models: other code may order its layers otherwise. Convert "
            "it to Darknet's .weights"
        )
    blocks: dict[str, Block] = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        # A convolution and its normalization are neighbours: all but the last two parts are one.
        block = blocks.setdefault(".".join(parts[:-2]), {})
        role = "kernel" if tensor.ndim == 4 else parts[-1]
        if role != "num_batches_tracked":  # of training alone, and absent before PyTorch 0.4.1
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
            found = f"{tensor.dtype} {list(tensor.shape)}" if tensor is not None else "missing"
            raise ModelError(
                f"{path}: {name} is {found}, but layer {wanted.layer} needs "
                f"{f'float {list(shape)}' if shape else 'none'}. Was it trained with another .cfg, "
                "or for another number of classes?"
            )
        arrays[role] = tensor.astype(np.float32)
        if not np.isfinite(arrays[role]).all():
            raise ModelError(
                f"{path}: {name} holds a NaN or an infinity. Take an earlier checkpoint"
            )
        if role == "running_var" and (tensor < 0).any():
            raise ModelError(f"{path}: {name} holds a negative variance, so the file is damaged")
    kernel = arrays.pop("kernel").transpose(2, 3, 1, 0)
    if not wanted.batch_normalize:
        return ConvWeights(np.ascontiguousarray(kernel), arrays["bias"])
    return fold_batch_norm(kernel, *(arrays[role] for role in vectors))


def _check_order(path: Path, places: Iterable[str]) -> None:
    # Many convolutions have the same shape, so that shapes alone would let two change places.
    # Numbered siblings must count up; where one without a number stands, the shapes tell.
    last: dict[tuple[str, ...], int] = {}
    for place in places:
        parts = place.split(".")
        for depth, part in enumerate(parts):
            stem = part.rstrip(DIGITS)
            number = int(part[len(stem) :] or 0)
            sibling = (*parts[:depth], stem)
            if number < last.get(sibling, 0):
                raise ModelError(
                    f"{path}: {place} stands after a sibling with a greater number, but the order "
                    "says which layer is which. Save model.state_dict() as it is"
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
        raise ModelError(f"{path} holds no tensors by name. Save model.state_dict()")
    return tensors
