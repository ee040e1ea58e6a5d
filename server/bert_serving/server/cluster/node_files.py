"""The files of a server on a node: one copy for all its workers there, in a folder named after the digests.

The workers map the graph from that copy. Every host holds a shared lock on a file in the folder as long as its worker
lives. The last host removes the folder. If all hosts were killed, the next host on the node removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import StartError
from ..graph.files import digest_of, write_graph
from .luggage import PackedFile

PREFIX = 'bert-serving-files-'
"""The beginning of the folders' names. The user's id follows."""

LOCK_NAME, WRITER_LOCK_NAME = 'lock', 'writer'
"""The files in a folder that its users, and its writer, keep locked."""


@contextlib.contextmanager
def held_files(
    files: Sequence[PackedFile], fetch: Callable[[Any], Any], parent: str | None = None
) -> Iterator[Mapping[str, str]]:
    """Provide the files on this node, and yield the path of each here, by its path on the server's machine.

    `fetch` gets a file from the cluster. The folder is made in `parent`, or in the system's folder for temporary files
    if that is None.

    Raises:
        StartError: a file cannot be written, or the folder does not belong to this user alone.
    """
    folders = os.path.join(parent or tempfile.gettempdir(), '%s%d-' % (PREFIX, os.geteuid()))
    folder = folders + _digest_of_all(files)
    _sweep(folders)
    places = {file.path: os.path.join(folder, os.path.basename(file.path)) for file in files}
    try:
        lock = _hold(folder)
    except OSError as error:
        raise StartError('cannot keep files in %s: %s' % (folder, error.strerror)) from None
    try:
        _write_missing(files, places, fetch, os.path.join(folder, WRITER_LOCK_NAME))
        yield places
    finally:
        _remove_if_unused(folder, lock)
        os.close(lock)


def relocate(value: Any, places: Mapping[str, str]) -> Any:
    """Return a config in which `places` replaces every path that is one of its keys."""
    if isinstance(value, str):
        return places.get(value, value)
    if isinstance(value, dict):
        return {key: relocate(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [relocate(item, places) for item in value]
    return value


def _digest_of_all(files: Sequence[PackedFile]) -> str:
    digest = hashlib.sha256()
    for name in sorted('%s %s\n' % (file.sha256, os.path.basename(file.path)) for file in files):
        digest.update(name.encode())
    return digest.hexdigest()[:32]


def _hold(folder: str) -> int:
    """Make the folder if it does not exist, and return the descriptor that holds its shared lock.

    If another host removes the folder before this one holds the lock, it begins again.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise StartError('the folder %s can be changed by other users: remove it' % folder)
        path = os.path.join(folder, LOCK_NAME)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if _is_at(lock, path):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _is_at(descriptor: int, path: str) -> bool:
    """Whether the file is still the one at that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _write_missing(
    files: Sequence[PackedFile], places: Mapping[str, str], fetch: Callable[[Any], Any], lock: str
) -> None:
    """Write the missing files. If another host is writing them, wait for it."""
    with open(lock, 'ab') as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        for file in files:
            place = places[file.path]
            if os.path.exists(place):
                continue
            content = memoryview(fetch(file.content)).cast('B')
            if digest_of([content]) != file.sha256:
                raise StartError('the file %s was changed on its way to this node' % os.path.basename(file.path))
            write_graph(place, [content], len(content))


def _remove_if_unused(folder: str, lock: int) -> None:
    """Remove the folder unless another host holds its lock."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(lock, os.path.join(folder, LOCK_NAME)):
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(folders: str) -> None:
    """Remove the folders of killed hosts, whose paths begin with `folders`."""
    for folder in glob.glob(glob.escape(folders) + '*'):
        with contextlib.suppress(OSError):
            lock = os.open(os.path.join(folder, LOCK_NAME), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _remove_if_unused(folder, lock)
            finally:
                os.close(lock)
