"""Gives the memory that a model no longer needs back to the system.

TensorFlow copies a model's weights several times while it imports and optimizes the graph, and
glibc keeps most of what is freed in its heaps.
"""

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_libc = ctypes.CDLL(None)  # glibc has both
_trim = getattr(_libc, "malloc_trim", None)
_option = getattr(_libc, "mallopt", None)
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # malloc.h
KIB, MIB = 2**10, 2**20


def give_back() -> None:
    """After a load or an unload; without it 200 MB stay with the process for a small model."""
    gc.collect()  # A Graph is full of cycles, and the next collection may be far away.
    if _trim:
        _trim(ctypes.c_size_t(0))


@contextlib.contextmanager
def freed_at_once() -> Iterator[None]:
    """Within the block, large blocks that are freed go back to the system immediately.

    The next copy of the weights then takes their place instead of new memory. Afterwards the
    thresholds are the highest that glibc itself would choose.
    """
    if not _option:
        yield
        return
    _option(MMAP_THRESHOLD, 64 * KIB)
    try:
        yield
    finally:
        _option(MMAP_THRESHOLD, 32 * MIB)
        _option(TRIM_THRESHOLD, 64 * MIB)
