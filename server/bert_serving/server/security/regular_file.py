"""Read a file that somebody else could have written: only text of limited size, and nothing that can block."""

from __future__ import annotations

import os
import stat


def read_text(path: str, most_bytes: int, encoding: str = 'utf-8') -> tuple[str, int]:
    """Read a regular file, or a link to one. Return its text and its mode.

    Raises:
        OSError: the file cannot be read, has more than `most_bytes`, or is a pipe, a device or a folder.
        UnicodeDecodeError: its bytes are not text in `encoding`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for a writer
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, 'it is not a regular file')
        with open(descriptor, 'rb', closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise OSError(0, 'it has more than %d bytes' % most_bytes)
    return content.decode(encoding), stat.S_IMODE(mode)
