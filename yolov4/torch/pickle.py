"""Reads PyTorch's files without PyTorch, which would take gigabytes to install.

A checkpoint is a pickle, and a pickle may call any function: here it can only create containers and
tensors. Format: PyTorch's torch/serialization.py, for both 1.6 and later and older versions.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from yolov4.darknet.files import other_kind
from yolov4.errors import ModelError

Tensor: TypeAlias = npt.NDArray[Any]


def read_pickle(path: Path) -> Any:
    """Return what torch.save wrote: containers, numbers, strings, and tensors as numpy arrays.

    Raises ModelError if the file is not a checkpoint, is damaged, or contains anything else.
    """
    try:
        with path.open("rb") as file:
            if other := other_kind(file.peek(512)[:512]):
                raise ModelError(other)
            return _read_zip(file) if file.peek(2)[:2] == b"PK" else _read_stream(file)
    except ModelError as error:
        raise ModelError(f"{path} {error}") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # damaged pickles and zips may raise any exception
        raise ModelError(
            f"{path} is not a PyTorch checkpoint, or is damaged: {type(error).__name__}, {error}"
        ) from error


def _read_zip(file: io.BufferedReader) -> Any:
    """PyTorch 1.6 and later: a zip file with a pickle and one entry per storage."""
    with zipfile.ZipFile(file) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        unpickler = _Unpickler(archive.open(entry))
        content = unpickler.load()
        for key, storage in unpickler.storages.items():
            _fill(storage, archive.read(f"{entry.removesuffix('.pkl')}/{key}"))
    return content


def _read_stream(file: io.BufferedReader) -> Any:
    """Before 1.6: magic number, version, system, content and keys as pickles; then the storages."""
    magic, _version, _system = (_Unpickler(file).load() for _ in range(3))
    if magic != 0x1950A86A20F9469CFC6C:
        raise ValueError("unknown magic number")
    unpickler = _Unpickler(file)
    content = unpickler.load()
    keys = _Unpickler(file).load()
    if set(keys) != set(unpickler.storages):
        raise ValueError("storages do not match the tensors")
    for key in keys:
        file.read(8)  # the number of elements, again
        _fill(unpickler.storages[key], file.read(unpickler.storages[key].nbytes))
    return content


def _fill(storage: Tensor, raw: bytes) -> None:
    if len(raw) != storage.nbytes:
        raise ValueError(f"a storage has {len(raw):,} bytes instead of {storage.nbytes:,}")
    storage[:] = np.frombuffer(raw, storage.dtype)


DTYPES = {"DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2"}
DTYPES |= {"LongStorage": "<i8", "IntStorage": "<i4", "ByteStorage": "u1", "BoolStorage": "?"}


class _Unpickler(pickle.Unpickler):
    """Creates containers, numbers, strings and tensors; refuses all else."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in DTYPES:
            return name
        raise ModelError(
            f"contains {module}.{name}, but only plain tensors are read, because anything else may "
            "run code. Save model.float().state_dict()"
        )

    def persistent_load(self, reference: Any) -> Tensor:
        _, kind, key, _, count, *_ = reference
        # Filled after the whole pickle has been read: in a stream, the values come after it.
        return self.storages.setdefault(key, np.zeros(count, DTYPES[kind]))


def _tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Tensor:
    # PyTorch counts elements, numpy bytes; numpy checks that the tensor stays within the storage.
    item = storage.itemsize
    return np.ndarray(size, storage.dtype, storage, offset * item, [item * n for n in strides])
