"""The file of the exported graph and its temporary names.

Does not import TensorFlow: the parent process chooses the path and removes what an exporter that was killed has left.
"""

from __future__ import annotations

import glob
import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import StartError

WRITE_BYTES = 1 << 24
"""Bytes that are written between two reports of progress."""


def new_graph_path(folder: str) -> str:
    """Return a path in `folder` for a graph; no other server has chosen the same."""
    return os.path.join(folder, 'graph-%s.pb' % uuid.uuid4().hex[:8])


def write_graph(path: str, parts: Sequence[bytes], on_written: Callable[[int, int], None]) -> None:
    """Write all `parts` to `path`, one after another, or nothing; no reader ever sees half a graph.

    `on_written` is called with the bytes written so far and all of them.

    Raises:
        StartError: the file cannot be written.
    """
    unfinished, total = '%s.%d.part' % (path, os.getpid()), sum(map(len, parts))
    try:
        try:
            with open(unfinished, 'wb') as file:
                for part in parts:
                    for start in range(0, len(part), WRITE_BYTES):
                        file.write(memoryview(part)[start : start + WRITE_BYTES])
                        on_written(file.tell(), total)
            os.replace(unfinished, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
    except OSError as error:
        raise StartError('the graph cannot be written to %s: %s' % (path, error.strerror)) from error


def remove_unfinished(path: str) -> None:
    """Remove the unfinished files that killed exporters of `path` have left; no other file in the folder is touched."""
    for unfinished in glob.glob(glob.escape(path) + '.*.part'):
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
