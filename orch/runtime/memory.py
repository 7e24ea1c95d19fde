"""Keeps a long-lived process small: freed memory goes back, and the start's objects are not looked at again."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_BYTES = 4 << 20
"""Smaller arrays come from the heap, whose pages are there already; to map and clear new ones costs more than most that
is done with them. `trim` gives the heap's free pages back."""
_TRIM_BYTES = 64 << 20


def _libc() -> Any:
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt, libc.malloc_trim  # noqa: B018  another C library has neither
    except (OSError, AttributeError):
        return None
    return libc


def settle() -> None:
    """Call once when everything is loaded.

    Fixes malloc's thresholds: by themselves they grow with use, and then large arrays that are freed stay in the heap.
    """
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
        libc.mallopt(_M_ARENA_MAX, 2)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def trim() -> None:
    """Give free pages back to the system. Some ms: for quiet moments."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
