"""The folders of one server: for the sockets of the ring and for the exported graph."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import StartError
from ..graph.files import new_graph_path, remove_unfinished

LONGEST_SOCKET_PATH = 100
"""The system's limit on the path of a Unix socket is 107 bytes; less our file names."""


@dataclass(frozen=True, slots=True)
class ServerFolders:
    """The paths that a server uses while it runs."""

    sockets: str
    """The folder of the ring's sockets."""
    graph: str
    """The file of the exported graph."""
    temp_dirs: tuple[str, ...]
    """The folders that are removed at the end."""


@contextlib.contextmanager
def server_folders(graph_tmp_dir: str | None) -> Iterator[ServerFolders]:
    """Make the folders of a server; at the end, remove them and all that is in them.

    `graph_tmp_dir` is the user's folder for the graph: it stays, with the graph and all else that is in it, except an
    unfinished graph. If it is None, the graph gets a temporary folder.

    Raises:
        StartError: a folder cannot be made, or its path is too long for a Unix socket.
    """
    with contextlib.ExitStack() as stack:
        sockets = stack.enter_context(socket_folder())
        temp_dirs = [sockets]
        if graph_tmp_dir is None:
            graph_tmp_dir = stack.enter_context(_temporary_folder(tempfile.gettempdir(), 'TMPDIR'))
            temp_dirs.append(graph_tmp_dir)
        graph = new_graph_path(graph_tmp_dir)
        stack.callback(remove_unfinished, graph)
        yield ServerFolders(sockets, graph, tuple(temp_dirs))


@contextlib.contextmanager
def socket_folder() -> Iterator[str]:
    """Make a folder for the sockets of the ring that only this user can enter; remove it at the end.

    It lies in `ZEROMQ_SOCK_TMP_DIR`, as 1.10's sockets did, or in the system's folder for temporary files.

    Raises:
        StartError: the folder cannot be made, or its path is too long for a Unix socket.
    """
    parent = os.environ.get('ZEROMQ_SOCK_TMP_DIR') or tempfile.gettempdir()
    with _temporary_folder(parent, 'ZEROMQ_SOCK_TMP_DIR') as folder:
        if len(os.fsencode(folder)) > LONGEST_SOCKET_PATH - len('/worker-000-000'):
            raise StartError(
                'the path of the folder for sockets, %s, is too long: set ZEROMQ_SOCK_TMP_DIR to a shorter one' % folder
            )
        yield folder


@contextlib.contextmanager
def _temporary_folder(parent: str, variable: str) -> Iterator[str]:
    """Make a folder in `parent` that only this user can enter; remove it at the end.

    Raises:
        StartError: the folder cannot be made; the message names the environment `variable` that chooses `parent`.
    """
    try:
        folder = tempfile.mkdtemp(prefix='bert-serving-', dir=parent)
    except OSError as error:
        raise StartError(
            'cannot make a folder in %s (%s): set %s to a writable folder' % (parent, error.strerror, variable)
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
