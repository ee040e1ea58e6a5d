"""The allocator of the C library: large blocks go back to the system as soon as they are free."""

from __future__ import annotations

import contextlib
import ctypes

LARGE_BYTES = 1 << 20
"""A block of that size is large."""

_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Let this process keep no large block that is free. Elsewhere than with glibc, do nothing.

    By itself glibc learns from the first large block that is freed to keep later ones, of up to 32 MiB. A process that
    has once read a few large messages would stay large forever. Workers need no call: TensorFlow reuses its blocks.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
