"""The folders of one server: for the sockets of the ring, the exported graph, and links to kept exports.

A server holds a lock on a file in each of its temporary folders as long as it lives. If all its processes are killed at
once, nobody removes the folders; the next server that makes a folder next to them finds that nobody holds their locks,
and removes them. The kernel releases a lock with the process that holds it, so a folder of a living server is never
removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import StartError
from ..graph.files import new_graph_path

logger = logging.getLogger(__name__)

PREFIX = 'bert-serving-'
"""The names of our temporary folders begin like this."""

LOCK_NAME = 'lock'
"""The file in a temporary folder that its server holds locked."""

LONGEST_SOCKET_PATH = 100
"""The system's limit on the path of a Unix socket is 107 bytes; less our file names."""


@dataclass(frozen=True, slots=True)
class ExportCacheFolders:
    """The arguments of an `ExportCache`."""

    folder: str
    """The folder of all kept exports."""
    work: str
    """A temporary folder of this server in it, for links to what it uses."""


@dataclass(frozen=True, slots=True)
class ServerFolders:
    """The paths that a server uses while it runs."""

    sockets: str
    """The folder of the ring's sockets."""
    graph: str
    """The file for the exported graph."""
    cache: ExportCacheFolders | None
    """Where exports are kept; None if they are not."""
    temp_dirs: tuple[str, ...]
    """The folders that are removed at the end."""


@contextlib.contextmanager
def server_folders(graph_tmp_dir: str | None, exports: str | None = None) -> Iterator[ServerFolders]:
    """Make the folders of a server; at the end, remove them and all that is in them.

    `graph_tmp_dir` is where the folder for the graph is made, None for the system's folder for temporary files.
    `exports` is the folder for kept exports, None if none are kept. If no folder can be made in it, none are.

    Raises:
        StartError: a folder cannot be made, or its path is too long for a Unix socket.
    """
    with contextlib.ExitStack() as stack:
        sockets = stack.enter_context(socket_folder())
        if graph_tmp_dir is None:
            graphs = stack.enter_context(_temporary_folder(tempfile.gettempdir(), 'TMPDIR'))
        else:
            graphs = stack.enter_context(_temporary_folder(graph_tmp_dir, '-graph_tmp_dir'))
        temp_dirs, cache = [sockets, graphs], None
        if exports is not None:
            try:
                work = stack.enter_context(_temporary_folder(exports, '-export_cache'))
            except StartError as error:  # a file system without locks, say
                logger.debug('exports are not kept: %s', error)
            else:
                temp_dirs.append(work)
                cache = ExportCacheFolders(exports, work)
        yield ServerFolders(sockets, new_graph_path(graphs), cache, tuple(temp_dirs))


@contextlib.contextmanager
def socket_folder() -> Iterator[str]:
    """Make a folder for the sockets of the ring that only this user can enter; remove it at the end.

    It lies in `ZEROMQ_SOCK_TMP_DIR`, as 1.10's sockets did, or in the system's folder for temporary files.

    Raises:
        StartError: the folder cannot be made, or its path is too long for a Unix socket or not UTF-8.
    """
    parent = os.environ.get('ZEROMQ_SOCK_TMP_DIR') or tempfile.gettempdir()
    with _temporary_folder(parent, 'ZEROMQ_SOCK_TMP_DIR') as folder:
        if len(os.fsencode(folder)) > LONGEST_SOCKET_PATH - len('/worker-000-000'):
            raise StartError(
                'the path of the folder for sockets, %s, is too long: set ZEROMQ_SOCK_TMP_DIR to a shorter one' % folder
            )
        try:
            folder.encode()  # ZeroMQ takes no other paths
        except UnicodeEncodeError:
            raise StartError(
                'the path of the folder for sockets, %s, is not UTF-8: set ZEROMQ_SOCK_TMP_DIR to another one' % folder
            ) from None
        yield folder


@contextlib.contextmanager
def _temporary_folder(parent: str, variable: str) -> Iterator[str]:
    """Make a folder in `parent` that only this user can enter, and lock it; remove it at the end.

    Folders there that a killed server has left are removed first.

    Raises:
        StartError: the folder cannot be made; the message names the `variable`, or option, that chooses `parent`.
    """
    remove_leftovers(parent)
    try:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        lock = _make_lock(folder)
    except OSError as error:
        raise StartError(
            'cannot make a folder in %s (%s): set %s to a writable folder' % (parent, error.strerror, variable)
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_lock(folder: str) -> int:
    """Make the lock of `folder`, locked before it has its name; return the descriptor that holds it."""
    path = os.path.join(folder, LOCK_NAME)
    lock = os.open(path + '.new', os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(path + '.new', path)
    return lock


def remove_leftovers(parent: str) -> None:
    """Remove the temporary folders in `parent` that this user's servers have left and that no living server holds.

    A folder that cannot be read or removed stays, and so does one without a lock or of another user.
    """
    for folder in glob.glob(os.path.join(glob.escape(parent), PREFIX + '*')):
        with contextlib.suppress(OSError):
            if is_private(folder) and _is_abandoned(os.path.join(folder, LOCK_NAME)):
                shutil.rmtree(folder, ignore_errors=True)
                logger.info('removed a folder that a killed server had left: %s', folder)


def is_private(folder: str) -> bool:
    """Whether the path is a real folder of this user that nobody else can change."""
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _is_abandoned(lock: str) -> bool:
    """Whether nobody holds the lock at this path.

    Raises:
        OSError: there is none, or it cannot be opened.
    """
    descriptor = os.open(lock, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
