"""Gives the memory that loading a model no longer needs back to the system.

TensorFlow copies a model's weights several times while it imports and optimizes the graph, and
glibc keeps most of what is freed in its heaps.
"""

import ctypes


def trim() -> None:
    """Return the heaps' free pages. Where the C library is not glibc, nothing happens."""
    if trim_heaps := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim_heaps(ctypes.c_size_t(0))
