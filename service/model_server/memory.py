"""Gives the memory that a model no longer needs back to the system.

TensorFlow copies a model's weights several times while it imports and optimizes the graph, and
glibc keeps most of what is freed in its heaps.
"""

import ctypes
import gc

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it


def give_back() -> None:
    """After a load or an unload; without it 200 MB stay with the process for a small model."""
    gc.collect()  # A Graph is full of cycles, and the next collection may be far away.
    if _trim:
        _trim(ctypes.c_size_t(0))
