"""The files of an exported graph and their temporary names.

Does not import TensorFlow: the parent process chooses the path.

A manipulated graph could control every worker, because TensorFlow's ops can read and write files. So the files are
private to this user, and a worker loads only the exact graph that the exporter wrote.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeAlias

from ..errors import StartError

Buffer: TypeAlias = Any
"""An object with the buffer protocol, such as bytes or an array."""

TRIED = 'tried'
"""The name of the marker file, in the folder of a kept graph, that says that the graph was tried."""

WRITE_BYTES = 1 << 24
"""Bytes that are written between two reports of progress."""


def new_graph_path(folder: str) -> str:
    """Return a unique path in `folder` for a graph."""
    return os.path.join(folder, 'graph-%s.pb' % uuid.uuid4().hex[:8])


def words_path(graph: str) -> str:
    """Return the path of the word embeddings of the graph in the file `graph`, if it does not contain them."""
    return graph + '.words'


def weights_path(graph: str) -> str:
    """Return the path of the weights of the ONNX model in the file `graph`."""
    return graph + '.weights'


def unfinished_path(path: str) -> str:
    """Return the temporary path at which this process writes the file for `path`."""
    return '%s.%d.part' % (path, os.getpid())


def write_graph(
    path: str, parts: Iterable[Buffer], total: int, on_written: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write all `parts`, of `total` bytes, to `path` atomically.

    `on_written` is called with the bytes written so far and all of them. The file has mode 0600 under any umask.

    Raises:
        StartError: the file cannot be written.
    """
    unfinished = unfinished_path(path)
    try:
        try:
            with open(unfinished, 'xb', opener=_open_privately) as file:
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


def note_tried(entry: str) -> None:
    """Mark the kept graph in the folder `entry` as successfully tried, so that the next start need not try it."""
    with suppress(OSError), open(os.path.join(entry, TRIED), 'xb', opener=_open_privately):
        pass


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def digest_of(parts: Iterable[Buffer]) -> str:
    """Return the SHA-256 of a file with these parts, in hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def read_graph(path: str, sha256: str | None = None) -> bytes:
    """Return the content of the graph at `path`. With `sha256`, accept only the file with that digest.

    Raises:
        StartError: the file cannot be read, belongs to another user, can be written by other users, or has changed.
    """
    try:
        with open(path, 'rb') as file:
            if sha256 is not None:
                _check_private(path, os.fstat(file.fileno()))
            content = file.read()
    except OSError as error:
        raise StartError('the graph %s cannot be read: %s' % (path, error.strerror)) from error
    if sha256 is not None and not hmac.compare_digest(digest_of([content]), sha256):
        raise StartError('the graph %s has changed since its export: start the server again' % path)
    return content


def check_private(path: str) -> None:
    """Check that only this user can change the file at `path`, which is too large for a digest.

    Raises:
        StartError: others can change it, or it cannot be read.
    """
    try:
        _check_private(path, os.stat(path))
    except OSError as error:
        raise StartError('the file %s cannot be read: %s' % (path, error.strerror)) from error


def _check_private(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartError(
            'the file %s can be changed by other users: choose another -graph_tmp_dir or -export_cache' % path
        )
