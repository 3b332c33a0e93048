"""Damaged and malicious checkpoint files are refused, and nothing in them is run."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.inputs.torch_files import SMALL, TORCH, TWO, _Storage, save
from yolov4.errors import ModelError
from yolov4.torch.checkpoint import read_checkpoint


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, old: bool) -> None:
    path = save(tmp_path / "some.pth", SMALL, old)
    assert len(read_checkpoint(path, TWO)) == 2
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"some\.pth is not a PyTorch checkpoint, or"):
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
    with pytest.raises(ModelError, match=r"some\.pth contains \w+\.mkdir, but only plain tensors"):
        read_checkpoint(path, TWO)
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(pickle.dumps(Evil(os.mkdir, str(tmp_path / "was here")), protocol))
    with pytest.raises(ModelError, match=r"some\.pth contains \w+\.mkdir, but only plain tensors"):
        read_checkpoint(path, TWO)
    assert not (tmp_path / "was here").exists()


def test_a_stream_with_inconsistent_parts_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth", SMALL, old=True)
    whole = path.read_bytes()
    keys = sorted(map(str, range(len(SMALL))), reverse=True)
    for part, other, reason in (
        (0x1950A86A20F9469CFC6C, 0x1950A86A20F9469CFC6D, "unknown magic number"),
        (keys, keys[:-1], "storages do not match the tensors"),
    ):
        assert pickle.dumps(part, 2) in whole
        path.write_bytes(whole.replace(pickle.dumps(part, 2), pickle.dumps(other, 2)))
        with pytest.raises(ModelError, match=f"damaged: ValueError, {reason}"):
            read_checkpoint(path, TWO)


def test_a_short_storage_is_not_broadcast_to_its_tensor(tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth", SMALL)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data[:4] if name == "archive/data/0" else data)
    with pytest.raises(ModelError, match="a storage has 4 bytes instead of 24"):
        read_checkpoint(path, TWO)


@pytest.mark.parametrize("place", [(-1, 2, 1), (1, 2, 1), (0, 2, 2), (0, 2, -1), (0, 3, 1)])
def test_a_tensor_cannot_exceed_its_storage(tmp_path: Path, place: tuple[int, int, int]) -> None:
    offset, size, stride = place
    hooks: Any = OrderedDict()
    about = _Storage(np.ones(2, "<f4")), offset, (size,), (stride,), False, hooks
    bias = Evil(TORCH["torch._utils"]._rebuild_tensor_v2, *about)
    path = save(tmp_path / "some.pth", SMALL | {"models.0.bn1.bias": bias})
    with pytest.raises(ModelError, match="damaged: ValueError"):
        read_checkpoint(path, TWO)


def test_an_unsupported_storage_type_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth", SMALL | {"x": np.ones(2, "<c8")})
    with pytest.raises(ModelError, match=r"contains torch\.ComplexFloatStorage, .*float\(\)"):
        read_checkpoint(path, TWO)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(1000), pickle.dumps(SMALL)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"some\.pth (is not a PyTorch checkpoint|contains numpy)"):
        read_checkpoint(path, TWO)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>Sign in</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    ],
)
def test_what_downloads_often_bring_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "some.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"some\.pth {reason}"):
        read_checkpoint(path, TWO)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none\.pth: No such file"):
        read_checkpoint(tmp_path / "none.pth", TWO)
