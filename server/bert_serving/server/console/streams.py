"""The standard streams of a process that was started without some of them, by `2>&-`, a daemon or a launcher.

Python then sets `sys.stderr` to None. The next file or socket that the process opens gets the free descriptor, so
native code and children that write to standard error would write into it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TextIO

_STREAMS = ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w'))


def reserve_descriptors() -> None:
    """Open /dev/null on each of the descriptors 0, 1 and 2 that is closed, so that nothing else gets its number."""
    for number, _, _ in _STREAMS:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the system gives the lowest number that is free
            if opened == number:
                os.set_inheritable(number, True)
            else:  # another thread was faster
                os.close(opened)


def replace_missing() -> None:
    """Reserve the descriptors, and open /dev/null for each standard stream that is None. For a command's process."""
    reserve_descriptors()
    for _, name, mode in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding='utf-8'))  # noqa: SIM115  it stays open


def output_of_children() -> int:
    """Return the descriptor for the output of children: our standard error; /dev/null if this process began without."""
    return subprocess.DEVNULL if sys.__stderr__ is None else 2


def say(text: str, stream: TextIO) -> None:
    """Print a line on a standard stream; drop it if nobody can read it: a closed pipe, a full disk.

    Characters that the stream cannot encode, such as bytes of a path that is not UTF-8, are escaped.
    """
    encoding = getattr(stream, 'encoding', None) or 'utf-8'
    try:
        print(text.encode(encoding, 'backslashreplace').decode(encoding), file=stream, flush=True)
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):  # or the flush at exit would fail, with exit code 120
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
