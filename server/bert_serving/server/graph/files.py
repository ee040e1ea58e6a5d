"""The files of an exported graph and their temporary names.

Does not import TensorFlow: the parent process chooses the path and removes what an exporter that was killed has left.
"""

from __future__ import annotations

import glob
import os
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeAlias

from ..errors import StartError

Buffer: TypeAlias = Any
"""An object with the buffer protocol, such as bytes or an array."""

WRITE_BYTES = 1 << 24
"""Bytes that are written between two reports of progress."""


def new_graph_path(folder: str) -> str:
    """Return a path in `folder` for a graph; no other server has chosen the same."""
    return os.path.join(folder, 'graph-%s.pb' % uuid.uuid4().hex[:8])


def words_path(graph: str) -> str:
    """Return the path of the word embeddings of the graph in the file `graph`, if it does not contain them."""
    return graph + '.words'


def write_graph(
    path: str, parts: Iterable[Buffer], total: int, on_written: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write all `parts`, of `total` bytes, to `path` one after another, or nothing; no reader ever sees half a file.

    `on_written` is called with the bytes written so far and all of them.

    Raises:
        StartError: the file cannot be written.
    """
    unfinished = '%s.%d.part' % (path, os.getpid())
    try:
        try:
            with open(unfinished, 'wb') as file:
                for part in parts:
                    view = memoryview(part).cast('B')
                    for start in range(0, len(view), WRITE_BYTES):
                        file.write(view[start : start + WRITE_BYTES])
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
