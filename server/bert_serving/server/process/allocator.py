"""The allocator of the C library: let it return free memory to the system."""

from __future__ import annotations

import contextlib
import ctypes
from collections import deque

LARGE_BYTES = 1 << 20
"""The minimum size of a large block."""

GROWN_BYTES = 32 << 20
"""Growth of a process after which free memory is worth returning."""

WAITS_S = (10, 20, 40, 80)
"""Seconds to wait after the process has grown, and then from one return to the next: a reply can wait for a minute."""

_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Stop this process from keeping large free blocks. With other C libraries than glibc, do nothing.

    By default, after the first large block is freed, glibc keeps later ones of up to 32 MiB. A process that has once
    read a few large messages would stay large forever. Workers need no call, because TensorFlow reuses its blocks.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def return_free_memory() -> None:
    """Return all free memory to the system, which takes tens of milliseconds. Without glibc, do nothing.

    By itself, glibc returns small blocks only from the end of its heap. The call does not hold Python's lock.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Ebb:
    """Decides when to return free memory: a few times in the minutes after the process has grown. Pure."""

    def __init__(self, interval_s: float) -> None:
        """`interval_s` is the time between two calls of `has_come`, in seconds."""
        self._interval_s = interval_s
        self._usual: int | None = None
        self._waits: deque[float] = deque()

    def has_come(self, memory_bytes: int) -> bool:
        """Whether to return free memory now, given the resident memory of this process."""
        if self._usual is None or memory_bytes < self._usual:
            self._usual = memory_bytes
        if not self._waits:
            if memory_bytes - self._usual > GROWN_BYTES:
                self._waits.extend(WAITS_S)
            return False
        self._waits[0] -= self._interval_s
        if self._waits[0] > 0:
            return False
        self._waits.popleft()
        if not self._waits:
            self._usual = memory_bytes
        return True
