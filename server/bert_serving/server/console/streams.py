"""Repair missing standard streams, for a process that was started with `2>&-`, by a daemon or by a launcher.

Python sets a missing `sys.stderr` to None. The next file or socket that the process opens gets the free descriptor, so
native code and child processes would write their error output into it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TextIO

_STREAMS = ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w'))


def reserve_descriptors() -> None:
    """Open /dev/null for each closed descriptor among 0, 1 and 2, so that no other file gets its number."""
    for number, _, _ in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the system returns the lowest free number
            if opened == number:
                os.set_inheritable(number, True)
            else:  # another thread was faster
                os.close(opened)


def replace_missing() -> None:
    """Reserve the descriptors, and open /dev/null for each standard stream that is None. Commands call it first."""
    reserve_descriptors()
    for _, name, mode in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding='utf-8'))  # noqa: SIM115  it stays open


def output_of_children() -> int:
    """Return the descriptor for the output of children: standard error, or /dev/null if this process lacks it."""
    return subprocess.DEVNULL if sys.__stderr__ is None else 2


def say(text: str, stream: TextIO) -> None:
    """Print a line to a standard stream. Drop it if the stream is a closed pipe or the disk is full.

    It escapes characters that the stream cannot encode, such as the bytes of a path that is not UTF-8.
    """
    encoding = getattr(stream, 'encoding', None) or 'utf-8'
    try:
        print(text.encode(encoding, 'backslashreplace').decode(encoding), file=stream, flush=True)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):  # otherwise the flush at exit would fail, with exit code 120
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
