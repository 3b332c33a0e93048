"""Convolutions are matched by their order, and a changed order is noticed."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.support.inputs.torch_files import save
from tests.support.inputs.torch_state_dicts import Model, Tensors, registered
from tests.yolov4.torch.weights import assert_same
from yolov4.errors import ModelError
from yolov4.network.architecture import yolov4
from yolov4.network.weights import conv_shapes
from yolov4.torch.checkpoint import read_checkpoint


def test_the_repositorys_convolutions_have_the_shapes_of_yolov4_in_order() -> None:
    registered_shapes = [shape for _, shape in registered()]
    assert registered_shapes == [shape.kernel[::-1] for shape in conv_shapes(yolov4())]


def test_convolutions_match_the_darknet_layers_named_in_models_py() -> None:
    # Its comments name Darknet's layers: `R 85` and `R 54` are what the neck reads.
    layers = [shape.layer for shape in conv_shapes(yolov4())]
    where = dict(zip((name for name, _ in registered()), layers, strict=True))
    assert (where["down4.conv5"], where["down3.conv5"]) == (85, 54)
    # Darknet's route -1, -7 at the first stage: the branch around is registered first.
    assert (where["down1.conv3"], where["down1.conv7"]) == (2, 8)
    assert [where[f"head.conv{n}"] for n in (2, 10, 18)] == [138, 149, 160]


def reordered(tensors: Tensors, places: list[str]) -> Tensors:
    """The same tensors by the same names, their convolutions in another order."""
    blocks: dict[str, Tensors] = {place: {} for place in places}
    for name, tensor in tensors.items():
        blocks[name.rsplit(".conv.", 1)[0]][name] = tensor
    return {name: tensor for block in blocks.values() for name, tensor in block.items()}


def swaps(places: list[str], tensors: Tensors) -> Iterator[tuple[int, int]]:
    """All neighbours, and some of all pairs of the same shape."""
    yield from ((n, n + 1) for n in range(len(places) - 1))
    shapes = [tensors[f"{place}.conv.0.weight"].shape for place in places]
    same = [(a, b) for a, b in combinations(range(len(places)), 2) if shapes[a] == shapes[b]]
    yield from (same[n] for n in np.random.default_rng(0).choice(len(same), 40, replace=False))


def test_two_swapped_convolutions_are_refused(tmp_path: Path, model: Model) -> None:
    one = np.ones(1, "<f4")  # each tensor repeats it, so that a file is small
    light = {n: np.ndarray(t.shape, "<f4", one, 0, (0,) * t.ndim) for n, t in model.tensors.items()}
    path = save(tmp_path / "light.pth", reordered(light, model.places))
    assert len(read_checkpoint(path, model.network)) == 110
    for a, b in swaps(model.places, model.tensors):
        places = list(model.places)
        places[a], places[b] = places[b], places[a]
        save(path, reordered(light, places))
        with pytest.raises(ModelError, match=r"its modules are|follows a sibling|but layer"):
            read_checkpoint(path, model.network)


def test_normalizations_are_matched_by_name_wherever_they_are(tmp_path: Path, model: Model) -> None:
    kernels = {n: t for n, t in model.tensors.items() if t.ndim == 4}
    path = save(tmp_path / "some.pth", kernels | dict(reversed(model.tensors.items())))
    assert_same(read_checkpoint(path, model.network), model.wanted)
