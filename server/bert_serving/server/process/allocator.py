"""The allocator of the C library: return large blocks to the system as soon as they are free."""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 1 << 20
"""The minimum size of a large block."""

_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Stop this process from keeping large free blocks. With other C libraries than glibc, do nothing.

    By default, after the first large block is freed, glibc keeps later ones of up to 32 MiB. A process that has once
    read a few large messages would stay large forever. Workers need no call, because TensorFlow reuses its blocks.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
