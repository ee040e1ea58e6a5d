"""The temporary folders of a server: for the sockets of the ring, the exported graph, and links to kept exports.

While a server runs, it locks a file in each of its temporary folders. If all its processes are killed at once, the
folders remain. The next server that makes a folder in the same place finds them unlocked and removes them. The kernel
releases a lock when its process ends, so the folder of a running server is never removed.
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
"""The prefix of the names of our temporary folders."""

LOCK_NAME = 'lock'
"""The name of the lock file in a temporary folder."""

LONGEST_SOCKET_PATH = 100
"""The maximum length of the folder's path: the system's limit of 107 bytes for a Unix socket, minus our file names."""


@dataclass(frozen=True, slots=True)
class ExportCacheFolders:
    """The arguments of an `ExportCache`."""

    folder: str
    """The folder of all kept exports."""
    work: str
    """A temporary folder of this server inside it, for links to the entries in use."""


@dataclass(frozen=True, slots=True)
class ServerFolders:
    """The temporary paths of a running server."""

    sockets: str
    """The folder of the ring's sockets."""
    graph: str
    """The file for the exported graph."""
    cache: ExportCacheFolders | None
    """The folders of the export cache, or None without one."""
    temp_dirs: tuple[str, ...]
    """The folders that are removed at the end."""


@contextlib.contextmanager
def server_folders(graph_tmp_dir: str | None, exports: str | None = None) -> Iterator[ServerFolders]:
    """Make the folders of a server, and remove them with their content at the end.

    `graph_tmp_dir` is the place for the graph's folder, None for the system's temporary folder. `exports` is the folder
    for kept exports, or None. If no folder can be made in it, exports are not kept.

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
            except StartError as error:  # for example a file system without locks
                logger.debug('exports are not kept: %s', error)
            else:
                temp_dirs.append(work)
                cache = ExportCacheFolders(exports, work)
        yield ServerFolders(sockets, new_graph_path(graphs), cache, tuple(temp_dirs))


@contextlib.contextmanager
def socket_folder() -> Iterator[str]:
    """Make a folder for the ring's sockets that only this user can enter, and remove it at the end.

    It is in `ZEROMQ_SOCK_TMP_DIR`, as 1.10's sockets were, or in the system's temporary folder.

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
            folder.encode()  # ZeroMQ does not accept other paths
        except UnicodeEncodeError:
            raise StartError(
                'the path of the folder for sockets, %s, is not UTF-8: set ZEROMQ_SOCK_TMP_DIR to another one' % folder
            ) from None
        yield folder


@contextlib.contextmanager
def _temporary_folder(parent: str, variable: str) -> Iterator[str]:
    """Make a folder in `parent` that only this user can enter, lock it, and remove it at the end.

    First it removes the folders of killed servers there.

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
    """Make the lock file of `folder`, locked before it gets its name, and return its descriptor."""
    path = os.path.join(folder, LOCK_NAME)
    lock = os.open(path + '.new', os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(path + '.new', path)
    return lock


def remove_leftovers(parent: str) -> None:
    """Remove this user's temporary folders in `parent` that no running server has locked.

    Folders without a lock file or of other users stay, and so do folders that cannot be read or removed.
    """
    for folder in glob.glob(os.path.join(glob.escape(parent), PREFIX + '*')):
        with contextlib.suppress(OSError):
            if is_private(folder) and _is_abandoned(os.path.join(folder, LOCK_NAME)):
                shutil.rmtree(folder, ignore_errors=True)
                logger.info('removed the folder of a killed server: %s', folder)


def is_private(folder: str) -> bool:
    """Whether the path is a real folder, not a link, that only this user can change."""
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _is_abandoned(lock: str) -> bool:
    """Whether the lock file at this path is unlocked.

    Raises:
        OSError: the lock file is missing or cannot be opened.
    """
    descriptor = os.open(lock, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
