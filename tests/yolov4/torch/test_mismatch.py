"""State dicts that do not match the network: errors name the tensor and both shapes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inputs.torch_files import TORCH, save
from tests.support.inputs.torch_state_dicts import Model, Tensors
from yolov4.errors import ModelError
from yolov4.torch.checkpoint import read_checkpoint

KERNEL = "down2.conv2.conv.0.weight"  # layer 12


NORM = "down2.conv2.conv.1"


def without(*names: str) -> Callable[[Tensors], Any]:
    return lambda tensors: {n: t for n, t in tensors.items() if not n.startswith(names)}


def with_(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors | {name: change(tensors[name].copy())}


def put(number: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(tensor: np.ndarray) -> np.ndarray:
        tensor.flat[-1] = number
        return tensor

    return change


def sorted_by_name(tensors: Tensors) -> Any:
    return dict(sorted(tensors.items()))


def renamed(old: str, new: str) -> Callable[[Tensors], Any]:
    return lambda tensors: {name.replace(old, new): t for name, t in tensors.items()}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without("head.conv18"), "has 109 convolutions, the last of them head.conv17.conv, but"),
        (
            lambda tensors: tensors | {"head.conv19.conv.0.weight": tensors[KERNEL]},
            "has 111 convolutions, the last of them head.conv19.conv, but the network has 110",
        ),
        (
            with_(KERNEL, lambda t: t[:, :8].copy()),
            rf"{KERNEL} is float32 \[8, 8, 1, 1\], but layer 12 needs float \[8, 16, 1, 1\]",
        ),
        (
            with_("head.conv2.conv.0.weight", lambda t: np.zeros((255, *t.shape[1:]), "<f4")),
            r"head.conv2.conv.0.weight is float32 \[255, 32, 1, 1\], but layer 138 needs float "
            r"\[24, 32, 1, 1\]\. Was it trained .* another number of classes",
        ),
        (with_(f"{NORM}.bias", lambda t: t[1:].copy()), rf"{NORM}.bias is float32 \[7\], .*\[8\]"),
        (with_(KERNEL, lambda t: t.astype("<i8")), r"is int64 \[8, 16, 1, 1\], but .* float \["),
        (without(f"{NORM}.running_var"), r"down2.conv2.conv, running_var is missing, but layer 12"),
        (without(NORM), "down2.conv2.conv, bias is missing, but layer 12 needs"),
        (without("head.conv2.conv.0.bias"), "head.conv2.conv, bias is missing, but layer 138"),
        (
            lambda tensors: tensors | {"head.conv2.conv.1.running_var": np.ones(24, "<f4")},
            r"head.conv2.conv.1.running_var is float32 \[24\], but layer 138 needs none",
        ),
        (
            lambda tensors: tensors | {"down2.conv2.conv.0.bias": np.ones(8, "<f4")},
            r"down2.conv2.conv.0.bias is float32 \[8\], but layer 12 needs none",
        ),
        (with_(KERNEL, put(np.nan)), f"{KERNEL} contains NaN or infinity"),
        (with_(f"{NORM}.weight", put(np.inf)), f"{NORM}.weight contains NaN or infinity"),
        (
            with_(f"{NORM}.running_var", put(-2e-5)),
            f"{NORM}.running_var contains a negative variance",
        ),
        (sorted_by_name, "its modules are down, head, neck, but those of"),
        (
            renamed("down", "stage"),
            "its modules are stage, neck, head, but .* may order its layers",
        ),
        (lambda tensors: {"epoch": 3}, "contains no named tensors. Save model.state_dict"),
        (lambda tensors: [*tensors.values()], "contains no named tensors"),
        (lambda tensors: TORCH["models"].Yolov4(), "contains models.Yolov4, but only plain"),
    ],
)
def test_errors_name_the_tensor_and_both_shapes(
    tmp_path: Path,
    model: Model,
    tensors: Tensors,
    spoil: Callable[[Tensors], Any],
    reason: str,
) -> None:
    path = save(tmp_path / "some.pth", spoil(tensors))
    with pytest.raises(ModelError, match=reason) as caught:
        read_checkpoint(path, model.network)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_variance_that_rounding_made_negative_is_read(
    tmp_path: Path, model: Model, tensors: Tensors
) -> None:
    path = save(tmp_path / "some.pth", with_(f"{NORM}.running_var", put(-7e-44))(tensors))
    assert all(np.isfinite(conv.kernel).all() for conv in read_checkpoint(path, model.network))
