"""State dicts as pytorch-YOLOv4 writes them, made here without PyTorch, but for two of its own."""

import base64
import io
import os
import pickle
import struct
import sys
import types
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from tests.support.inputs.yolov4_models import NAMES, write_model
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg, read_weights
from yolov4.errors import ModelError
from yolov4.network.architecture import yolov4
from yolov4.network.layers import Convolutional, Network, Yolo
from yolov4.network.weights import ConvWeights, conv_shapes
from yolov4.torch.checkpoint import read_checkpoint

Tensors = dict[str, np.ndarray]
WIDTH = 1 / 8  # of the real network, so that a test takes milliseconds


def registered(classes: int = 80, width: float = 1.0) -> list[tuple[str, tuple[int, ...]]]:
    """models.py's convolutions as it registers them: name, filters x channels x size x size."""
    found = []

    def conv(name: str, channels: int, filters: int, size: int) -> None:
        ours = [8 * max(1, round(c * width / 8)) for c in (channels, filters)]
        ours[0] = 3 if channels == 3 else ours[0]
        found.append((name, (ours[1], ours[0], size, size)))

    def convs(module: str, first: int, *rest: tuple[int, int, int]) -> None:
        for number, (channels, filters, size) in enumerate(rest, first):
            conv(f"{module}.conv{number}", channels, filters, size)

    down1 = (3, 32, 3), (32, 64, 3), (64, 64, 1), (64, 64, 1), (64, 32, 1), (32, 64, 3)
    convs("down1", 1, *down1, (64, 64, 1), (128, 64, 1))
    for stage, blocks in enumerate((2, 8, 8, 4), 2):
        half, full = 2 ** (stage + 4), 2 ** (stage + 5)
        convs(f"down{stage}", 1, (half, full, 3), (full, half, 1), (full, half, 1))
        for block in range(blocks):
            for place, size in enumerate((1, 3)):
                conv(f"down{stage}.resblock.module_list.{block}.{place}", half, half, size)
        convs(f"down{stage}", 4, (half, half, 1), (full, full, 1))

    def squeeze(c: int, times: int) -> list[tuple[int, int, int]]:
        return [(c, 2 * c, 3), (2 * c, c, 1)] * times

    convs("neck", 1, (1024, 512, 1), *squeeze(512, 1), (2048, 512, 1), *squeeze(512, 1))
    convs("neck", 7, *[(512, 256, 1)] * 3, *squeeze(256, 2))
    convs("neck", 14, *[(256, 128, 1)] * 3, *squeeze(128, 2))
    convs("head", 1, (128, 256, 3), (256, 0, 1), (128, 256, 3), (512, 256, 1), *squeeze(256, 2))
    convs("head", 9, (256, 512, 3), (512, 0, 1), (256, 512, 3), (1024, 512, 1), *squeeze(512, 2))
    convs("head", 17, (512, 1024, 3), (1024, 0, 1))
    outputs = 3 * (5 + classes)
    heads = ("head.conv2", "head.conv10", "head.conv18")
    return [(name, (outputs, *s[1:]) if name in heads else s) for name, s in found]


def tensors_of(weights: Path, network: Network, names: list[tuple[str, str]]) -> Tensors:
    """A `.weights` as a state dict; names: of each convolution, and of its normalization."""
    floats = np.fromfile(weights, "<f4", offset=20)
    cursor = 0
    tensors: Tensors = {}

    def take(*shape: int) -> np.ndarray:
        nonlocal cursor
        cursor += int(np.prod(shape))
        return floats[cursor - int(np.prod(shape)) : cursor].reshape(shape).copy()

    for (conv, norm), shape in zip(names, conv_shapes(network), strict=True):
        height, width, channels, filters = shape.kernel
        bias = take(filters)
        gamma, mean, variance = (take(filters) if shape.batch_normalize else None for _ in "123")
        tensors[f"{conv}.weight"] = take(filters, channels, height, width)
        if gamma is None or mean is None or variance is None:
            tensors[f"{conv}.bias"] = bias
            continue
        tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = gamma, bias
        tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"] = mean, variance
        tensors[f"{norm}.num_batches_tracked"] = np.array(1000)
    return tensors


class _Storage:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def _stand_ins() -> dict[str, types.ModuleType]:
    """PyTorch's names, and those of models.py, for as long as something is pickled by them."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils", "models")}

    def put(module: str, name: str, thing: Any) -> None:
        thing.__module__, thing.__qualname__ = module, name
        setattr(modules[module], name, thing)

    for kind in STORAGES.values():
        put("torch", kind, type(kind, (), {}))
    put("torch._utils", "_rebuild_tensor_v2", lambda *_: None)
    put("models", "Yolov4", type("Yolov4", (), {}))
    return modules


STORAGES = {
    "<f2": "HalfStorage",
    "<f4": "FloatStorage",
    "<f8": "DoubleStorage",
    "<i8": "LongStorage",
    "<c8": "ComplexFloatStorage",
}
TORCH = _stand_ins()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, 2)
        self.storages: list[np.ndarray] = []

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, _Storage):
            return None
        keys = [key for key, array in enumerate(self.storages) if array is value.array]
        if not keys:
            keys = [len(self.storages)]
            self.storages.append(value.array)
        kind = getattr(TORCH["torch"], STORAGES[value.array.dtype.str])
        return "storage", kind, str(keys[0]), "cuda:0", value.array.size, None

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return NotImplemented
        base = value if value.base is None else value.base
        offset = (value.ctypes.data - base.ctypes.data) // value.itemsize
        strides = tuple(stride // value.itemsize for stride in value.strides)
        hooks: Any = OrderedDict()
        about = _Storage(base), offset, value.shape, strides, False, hooks
        return TORCH["torch._utils"]._rebuild_tensor_v2, about


def save(path: Path, content: Any, old: bool = False) -> Path:
    """torch.save(content, path), where a tensor is an array; `old`: as before PyTorch 1.6."""
    pickler = _Pickler(pickled := io.BytesIO())
    with patch.dict(sys.modules, TORCH):
        pickler.dump(content)
    raw = {str(key): array.tobytes() for key, array in enumerate(pickler.storages)}
    if old:
        system = {"little_endian": True}
        head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
        keys = sorted(raw, reverse=True)
        body = [struct.pack("<q", pickler.storages[int(key)].size) + raw[key] for key in keys]
        path.write_bytes(b"".join([*head, pickled.getvalue(), pickle.dumps(keys, 2), *body]))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for key, data in raw.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return path


class Model:
    """A narrow YOLOv4 of 3 classes: its `.weights`, and the state dict with the same numbers."""

    def __init__(self, folder: Path) -> None:
        self.network = yolov4(64, 64, len(NAMES), WIDTH)
        self.places = [name for name, _ in registered(len(NAMES), WIDTH)]
        rng = np.random.default_rng(0)
        floats = rng.uniform(0.1, 1, sum(s.floats for s in conv_shapes(self.network)))
        weights = folder / "narrow.weights"
        weights.write_bytes(struct.pack("<iiiq", 0, 2, 5, 0) + floats.astype("<f4").tobytes())
        self.wanted = read_weights(weights, self.network)
        names = [(f"{place}.conv.0", f"{place}.conv.1") for place in self.places]
        self.tensors = tensors_of(weights, self.network, names)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("narrow"))


@pytest.fixture
def tensors(model: Model) -> Tensors:
    return dict(model.tensors)


def assert_same(found: list[ConvWeights], wanted: list[ConvWeights], rtol: float = 0.0) -> None:
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.kernel.dtype == ours.bias.dtype == np.float32
        np.testing.assert_allclose(ours.kernel, theirs.kernel, rtol=rtol)
        np.testing.assert_allclose(ours.bias, theirs.bias, rtol=rtol, atol=10 * rtol)


def test_the_repositorys_convolutions_have_the_shapes_of_yolov4_in_order() -> None:
    found = [shape for _, shape in registered()]
    assert found == [shape.kernel[::-1] for shape in conv_shapes(yolov4())]


def test_convolutions_lie_where_models_py_says_darknets_layers_do() -> None:
    # Its comments name Darknet's layers: `R 85` and `R 54` are what the neck reads.
    layers = [shape.layer for shape in conv_shapes(yolov4())]
    where = dict(zip((name for name, _ in registered()), layers, strict=True))
    assert (where["down4.conv5"], where["down3.conv5"]) == (85, 54)
    # Darknet's route -1, -7 at the first stage: the branch around is registered first.
    assert (where["down1.conv3"], where["down1.conv7"]) == (2, 8)
    assert [where[f"head.conv{n}"] for n in (2, 10, 18)] == [138, 149, 160]


def distinct(weights: list[ConvWeights]) -> bool:
    return all(
        a.kernel.shape != b.kernel.shape or not np.allclose(a.kernel, b.kernel)
        for a, b in combinations(weights, 2)
    )


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_a_state_dict_gives_what_darknets_file_of_the_same_numbers_gives(
    tmp_path: Path, model: Model, old: bool
) -> None:
    assert distinct(model.wanted)
    path = save(tmp_path / "some.pth", OrderedDict(model.tensors), old)
    assert_same(read_checkpoint(path, model.network), model.wanted)


def parallel(tensors: Tensors) -> Any:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def uncounted(tensors: Tensors) -> Any:
    return {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}


def published(tensors: Tensors) -> Any:
    return {name.replace("neck", "neek"): tensor for name, tensor in tensors.items()}


def wrapped(tensors: Tensors) -> Any:
    momentum = {0: {"step": 7, "exp_avg": np.zeros(9, np.float32)}}
    return {"epoch": 3, "state_dict": parallel(tensors), "optimizer": {"state": momentum}}


def double(tensors: Tensors) -> Any:
    return {name: tensor.astype(np.float64) for name, tensor in tensors.items() if tensor.ndim}


def one_storage(tensors: Tensors) -> Any:
    floats = np.concatenate([t.ravel() for t in tensors.values() if t.ndim])
    ends = np.cumsum([t.size for t in tensors.values() if t.ndim])
    pairs = zip(((n, t) for n, t in tensors.items() if t.ndim), ends, strict=True)
    return {n: np.ndarray(t.shape, "<f4", floats, 4 * (end - t.size)) for (n, t), end in pairs}


def channels_last(tensors: Tensors) -> Any:
    def turn(t: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(t.transpose(0, 2, 3, 1)).ravel()
        _, c, h, w = t.shape
        return np.ndarray(t.shape, "<f4", flat, 0, (4 * c * h * w, 4, 4 * c * w, 4 * c))

    return {name: turn(t) if t.ndim == 4 else t for name, t in tensors.items()}


@pytest.mark.parametrize(
    "dress", [parallel, uncounted, published, wrapped, double, one_storage, channels_last]
)
def test_the_same_numbers_in_another_dress(
    tmp_path: Path, model: Model, dress: Callable[[Tensors], Any]
) -> None:
    path = save(tmp_path / "some.pth", dress(model.tensors))
    assert_same(read_checkpoint(path, model.network), model.wanted)


def test_float16_costs_its_own_rounding_and_no_more(tmp_path: Path, model: Model) -> None:
    half = {n: t.astype(np.float16) if t.ndim else t for n, t in model.tensors.items()}
    path = save(tmp_path / "half.pth", half)
    assert_same(read_checkpoint(path, model.network), model.wanted, rtol=2e-3)


# tests/yolov4_models.py's network, as tool/darknet2pytorch.py would name it.
def small(folder: Path) -> tuple[Path, Path, Tensors]:
    cfg, weights, _ = write_model(folder)
    network = read_cfg(cfg)
    layers = [shape.layer for shape in conv_shapes(network)]
    names = [(f"models.{i}.conv{n}", f"models.{i}.bn{n}") for n, i in enumerate(layers, 1)]
    return cfg, weights, tensors_of(weights, network, names)


def test_any_cfg_that_the_repository_itself_took_from_darknet(tmp_path: Path) -> None:
    cfg, weights, tensors = small(tmp_path)
    path = save(tmp_path / "small.pth", tensors)
    network = read_cfg(cfg)
    assert_same(read_checkpoint(path, network), read_weights(weights, network))


def test_export_takes_a_pth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights, tensors = small(tmp_path)
    path = save(tmp_path / "small.PTH", tensors)
    arguments = ["export", "--name", "small", "--cfg", str(cfg), "--weights", str(path)]
    arguments += ["--names", str(tmp_path / "small.names"), "--repository", str(tmp_path / "r")]
    assert main(arguments) == 0
    assert (tmp_path / "r" / "small" / "1" / "saved_model.pb").exists()
    path.write_bytes(weights.read_bytes())
    assert main(arguments) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"error: {path} is no PyTorch checkpoint, or is damaged: ")


# Order ---------------------------------------------------------------------------------------


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


def test_two_convolutions_that_changed_places_are_noticed(tmp_path: Path, model: Model) -> None:
    one = np.ones(1, "<f4")  # each tensor repeats it, so that a file is small
    light = {n: np.ndarray(t.shape, "<f4", one, 0, (0,) * t.ndim) for n, t in model.tensors.items()}
    path = save(tmp_path / "light.pth", reordered(light, model.places))
    assert len(read_checkpoint(path, model.network)) == 110
    for a, b in swaps(model.places, model.tensors):
        places = list(model.places)
        places[a], places[b] = places[b], places[a]
        save(path, reordered(light, places))
        with pytest.raises(ModelError, match=r"its modules are|stands after a sibling|but layer"):
            read_checkpoint(path, model.network)


def test_normalizations_belong_to_their_convolution_wherever_they_stand(
    tmp_path: Path, model: Model
) -> None:
    kernels = {n: t for n, t in model.tensors.items() if t.ndim == 4}
    path = save(tmp_path / "some.pth", kernels | dict(reversed(model.tensors.items())))
    assert_same(read_checkpoint(path, model.network), model.wanted)


# Mistakes ------------------------------------------------------------------------------------

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
        (with_(KERNEL, put(np.nan)), f"{KERNEL} holds a NaN or an infinity"),
        (with_(f"{NORM}.weight", put(np.inf)), f"{NORM}.weight holds a NaN or an infinity"),
        (with_(f"{NORM}.running_var", put(-1)), f"{NORM}.running_var holds a negative variance"),
        (sorted_by_name, "its modules are down, head, neck, but those of"),
        (
            renamed("down", "stage"),
            "its modules are stage, neck, head, but .* may order its layers",
        ),
        (lambda tensors: {"epoch": 3}, "holds no tensors by name. Save model.state_dict"),
        (lambda tensors: [*tensors.values()], "holds no tensors by name"),
        (lambda tensors: TORCH["models"].Yolov4(), "holds a models.Yolov4, but only plain"),
    ],
)
def test_a_mistake_is_a_sentence_with_the_tensor_and_both_shapes(
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


def test_files_that_pytorch_itself_wrote_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.pth").write_bytes(zlib.decompress(base64.b85decode(BEFORE_1_6)))
    (tmp_path / "new.pth").write_bytes(zlib.decompress(base64.b85decode(ZIP)))
    for name in ("old.pth", "new.pth"):
        first, second = read_checkpoint(tmp_path / name, TWO)
        # The numbers count on: kernel 1 to 6, gamma 7 8, beta 9 10, mean 11 12, variance 13 14.
        scale = np.array([7, 8]) / np.sqrt(np.array([13, 14]) + 1e-5)
        kernel = np.arange(1, 7).reshape(2, 3).T * scale
        np.testing.assert_allclose(first.kernel, kernel[None, None], rtol=1e-6)
        np.testing.assert_allclose(first.bias, [9, 10] - np.array([11, 12]) * scale, rtol=1e-6)
        np.testing.assert_array_equal(second.kernel, np.arange(15, 31).reshape(8, 2).T[None, None])
        np.testing.assert_array_equal(second.bias, np.arange(31, 39))


# One normalized 1x1 convolution of 2 filters on 3 channels, then a head of 8 filters on those 2.
TWO = Network(
    32,
    32,
    3,
    (
        Convolutional(2, 1),
        Convolutional(8, 1, batch_normalize=False, activation="linear"),
        Yolo(((1, 2),), 3),
    ),
)
SMALL: Tensors = {
    "models.0.conv1.weight": np.ones((2, 3, 1, 1), "<f4"),
    **{f"models.0.bn1.{name}": np.ones(2, "<f4") for name in ("weight", "bias")},
    **{f"models.0.bn1.running_{name}": np.ones(2, "<f4") for name in ("mean", "var")},
    "models.1.conv2.weight": np.ones((8, 2, 1, 1), "<f4"),
    "models.1.conv2.bias": np.ones(8, "<f4"),
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, old: bool) -> None:
    path = save(tmp_path / "some.pth", SMALL, old)
    assert len(read_checkpoint(path, TWO)) == 2
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"some\.pth is no PyTorch checkpoint, or is damaged"):
            read_checkpoint(path, TWO)


class Evil:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, old: bool) -> None:
    evil = Evil(os.mkdir, str(tmp_path / "was here"))
    path = save(tmp_path / "some.pth", SMALL | {"x": evil}, old)
    with pytest.raises(ModelError, match=r"some\.pth holds a \w+\.mkdir, but only plain tensors"):
        read_checkpoint(path, TWO)
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(pickle.dumps(Evil(os.mkdir, str(tmp_path / "was here")), protocol))
    with pytest.raises(ModelError, match=r"some\.pth holds a \w+\.mkdir, but only plain tensors"):
        read_checkpoint(path, TWO)
    assert not (tmp_path / "was here").exists()


def test_a_stream_whose_parts_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth", SMALL, old=True)
    whole = path.read_bytes()
    keys = sorted(map(str, range(len(SMALL))), reverse=True)
    for part, other, reason in (
        (0x1950A86A20F9469CFC6C, 0x1950A86A20F9469CFC6D, "its magic number is another"),
        (keys, keys[:-1], "its storages are not those its tensors lie in"),
    ):
        assert pickle.dumps(part, 2) in whole
        path.write_bytes(whole.replace(pickle.dumps(part, 2), pickle.dumps(other, 2)))
        with pytest.raises(ModelError, match=f"damaged: ValueError, {reason}"):
            read_checkpoint(path, TWO)


def test_a_storage_with_one_number_is_not_spread_over_its_tensor(tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth", SMALL)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data[:4] if name == "archive/data/0" else data)
    with pytest.raises(ModelError, match="24 bytes of a storage expected, 4 found"):
        read_checkpoint(path, TWO)


@pytest.mark.parametrize("place", [(-1, 2, 1), (1, 2, 1), (0, 2, 2), (0, 2, -1), (0, 3, 1)])
def test_a_tensor_cannot_reach_out_of_its_storage(
    tmp_path: Path, place: tuple[int, int, int]
) -> None:
    offset, size, stride = place
    hooks: Any = OrderedDict()
    about = _Storage(np.ones(2, "<f4")), offset, (size,), (stride,), False, hooks
    bias = Evil(TORCH["torch._utils"]._rebuild_tensor_v2, *about)
    path = save(tmp_path / "some.pth", SMALL | {"models.0.bn1.bias": bias})
    with pytest.raises(ModelError, match="damaged: ValueError"):
        read_checkpoint(path, TWO)


def test_numbers_that_numpy_has_no_type_for_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth", SMALL | {"x": np.ones(2, "<c8")})
    with pytest.raises(ModelError, match=r"holds a torch\.ComplexFloatStorage, .*float\(\)"):
        read_checkpoint(path, TWO)


@pytest.mark.parametrize(
    "content", [b"", b"<html>Sign in</html>", b"PK\x03\x04", bytes(1000), pickle.dumps(SMALL)]
)
def test_what_is_no_checkpoint_is_told_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"some\.pth (is no PyTorch checkpoint|holds a numpy)"):
        read_checkpoint(path, TWO)


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none\.pth: No such file"):
        read_checkpoint(tmp_path / "none.pth", TWO)


# torch.save(state_dict) of TWO, its numbers counting up from 1; zlib, then base 85.
# PyTorch 1.12.1, _use_new_zipfile_serialization=False: the format of the published yolov4.pth.
BEFORE_1_6 = (
    b"c-nQ8IdIcV6vrjmaf}GT+zB5?xD^g#Nf0~V#}Nkzhd6>bW*bJx@=hdBq&#UA24*zlCNn_wl@t_|l$4Z|l$4Z|&{4t+"
    b"1y7P=oS<m@*X-Mse*fovZ`BcAitex1Ge5^3y`3Gcc7z+>3V4r!lSqZ*xP`!HzU8~dA`L>v_khO-$Oc?-9mZU0P_ONn"
    b"9th8gh?DH;0yRSC84aNjLs23FI2qc0z+gZVNC6|qV^GqHq?j;#Zw>~vVicjLg*Gm=7`lYwt)NW<+P>&mOayLR2VNrE"
    b"@Qr!DP2I3st6ILdC|93QXU=9ISj-PByJ|$taYNAvXe)Buw!x?u`hl^ih)|FuGMFTTPnvTSirFjTjO&~1PBtmR02#(-"
    b"CQm7<T5r^Ab+s-lP)hT*79vcwbdy2(w#G@CpcOP;;~A`zvQaV?U)V{q>lqB`uz_sp&$#9F@*TD@9lL1v*)`OLBG(hU"
    b"jrO1>piKpBG+_xgY5Wpw&cIt3Y}H{K*|Zwma?B96uYql->ICfQVn@2z(FD6Q!~Vlymkzth=xS^bd7k6V8S@ltyk{+Z"
    b"L!N-WUHn)Vzc0b>&+rEr9Ms_u8CeUzXa;aNpRTC&Nd=B{=~9<Ip3skG^kWQ;>u`dMt)_d?ywNh5Wz*1LfoVOaZK!50"
    b"-Qr)z{_EBL<Vs^zmX#XR(3nSK8I8xsGed=es>7-New5RGRF>;|I{&|@vVuD`fyfFX>uDR6v60f&X-L^98Bb<L|1$Vb"
    b"hco?cv}}~t`|KJv>O`Xk=g_8%Hs_NqD=)!RvSrN-Jk8*O4i}>sE|GQkD%O{oZIhWWldfNu2+neFC5Ef%saZb#*EBvP"
    b"rCvIq#c<tDC(C`i4>w}CnN1J>b!OpK471td(5i~T?HF`i5?0`3xD&(Ozi{21fO|3APZy)Gg<p{e$(JkV5c7FQO~^Ya"
    b"g}nAI=5^&jUdNR3YCf1(p)#!|TbW&*^LU%WAF6|TgZeNf^wz&%%r*bSl_tlH^~E)er~2Yqj2||6Zsk?!jTUgdgL;no"
    b"AN30L2K5&84)q@O0re5}3H2HE1@#s6y;<&YeqhW^b6gQsMh&4VsI91x>E9#Kk8="
)
# PyTorch 2.15.0.
ZIP = (
    b"c-o~_OKcle6n*~0aopfIX-hspn*Jwk>UjJaJN+ebiz!TLU6-N}8#A^Cd#F9mwVzXgWGNDg1UuN!c7wWL!H(|ef<;$|"
    b"B?t*vAW;b+!2*GhD#4EXW*m3snZ)2c`DjMtch0%<?z{I*R`z%a@%u^72$2b*Hi{K}U0W=vR1L4)tY*?d@|t68xQoSl"
    b"wW<}VUN@S7tBsP@&`KBeA`JkU&w)!&_M=#>Uec<~a3ox;8|z~DmZq006x>BxM~85}MfGYkkZ)*(mR>F8sb)0mjr@8v"
    b"03Jb5hEbr2Gu5&NUW*dQRO>3eZaoaZkmABQ5%4J<ycXA5Ff98h_^-)CklnIJcF8UZBZ76u?gQ^tSa^FVjOO4eWv@NP"
    b"g3*mISit})-il=)!dPWkc2fwUu<YK1aoM#A6PDCo3j1=fUm5463cA{aryW93n6!kZIzrP-XvPwHhQhNscutw-g&Hlx"
    b"(2a7wrl|(ZIs{{Iz!IG62p(jDhb+Ov6prNJs4}&k;JVs?V-CGI9Jlm@j@~@eJ7MXaq_B{KQ_38#XS8bhf=Y`Ot(m6{"
    b"wRlr2LD<smr0sIuD0j2AXj&y8f>xLk5v}IuEsH3HSPtU$y(5}?C%ToHgd<)FBoqlzNSZ14W75qurv&Sc-7i_vrzxDt"
    b"!C8CCx1`NXopT5$;XDfaDJ-*v@NdEjTZmOlDox=+4lcIZ@VqjDlQA<?Wwins^ZyqFg;f$<YQu}>E?(CfO{^1mNp>|A"
    b"UpD}d+i<yJKJ?qx6kcw_73*=Zr-tBa8?x4)qg)=~S{rism)jvH!u2-1(j(V-cev4pSIs|L%|bXU5BvXYeCPQV%ZVYo"
    b"ZI_rNN4s4j{6@V|Q)#~QmYMWHu37xc5Si6yzyI(KTWp5yt!7B_iB+c`<khNPHfowdGwE1=x85PeSpdto;8!<VxOWU-"
    b"oGf<(D7;0rI%{^B^qE0?w?<W`w5qWfHqZSu&9;PZ#~6a-yrU~GMl$Ksy9j`gjb)Tw!5?A+aS!oug++Aa=cQ@ZGp71P"
    b"wBU?L%%lbK-~At<A6aF7AOCjc1T*mW@jL7Ei)PX(GWh$4RtcFi{XhLXb$bB+*zWuz=)Yq6pTDg?9>71oJO3>Dzi#?}"
    b"@%eOR0RP19{H?+K^&byu1Nck3^IyaF-$1;Jcpq^GaS!nc;y&U5;vwQo#8-&#5swhRApS7d?ad39YAaR|?HIS$8Fw<1"
    b"X3zgZ9fEgWgdZ`A2qE?%rqWD*?f9O@?5v&JQGbja?&^0t@PU2{6ALhhuRki^=->ZlN%TnrHeaEsHFWI2Z>#L<FRzy}"
    b">G1!|L?jiJQc^sbj3uN<JdsQ$BN0&&<1r~FE~W4)E=dt7m1I$VbJrUbFb=_t(#3-9#%VvTLOqf5-?2Q~egI86n8&<i"
    b"yYr0~u^%Ec4v`P+B0VP;uVX(5#vM8nL!|cr;_3FT9dyt?93tG=!E@~$*vS=q99QJI_U`HA-r>1Xo@?)XPVUq&$Bpq^"
    b"d)MN8d2XEN+B**C>*u%$o@=jq&X?y(Jl9^)PHuLD<0g5oy;jE@-1|1}Hha`wLbJ}j6(D_zJ1hHq3tO$gbIR7(oY$tu"
    b"x;_YOwRRu-_9Z7f6RfYiA)mzwn)9u>{{Rw@IcE"
)
