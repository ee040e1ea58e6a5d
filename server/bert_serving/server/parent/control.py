"""The socket in the private folder of a server over which `bert-serving-terminate` stops it.

Only the user of the server, and root, can enter the folder. A connection is the request; the answer is a line. Over the
port for requests there is no answer, and any local user could connect.
"""

from __future__ import annotations

import contextlib
import glob
import os
import socket
import tempfile
from collections.abc import Callable

from .folders import PREFIX, is_private

OBEYED = 'stopping'
"""The answer of a server that obeys; any other is why it does not."""

ANSWER_S = 5.0
"""Seconds in which a server answers: one that serves does so at once."""

LONGEST_ANSWER = 1000


class ControlSocket:
    """Listens in a folder; `answer` is called for each request, and what it returns is sent."""

    def __init__(self, folder: str, port: int, answer: Callable[[], str]) -> None:
        """Listen for the server whose port for requests is `port`."""
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(_path(folder, port))
        self._listener.listen()
        self._listener.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable while somebody asks."""
        return self._listener.fileno()

    def on_request(self) -> None:
        """Answer one request."""
        with contextlib.suppress(OSError):  # it has gone, or does not read
            connection, _ = self._listener.accept()
            with connection:
                connection.setblocking(False)
                connection.sendall(self._answer().encode()[:LONGEST_ANSWER])

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def ask_to_stop(port: int) -> str | None:
    """Ask the server of this user on this machine with that port for requests; return its answer.

    None if there is no such server, or its folder is not where this process looks: in `ZEROMQ_SOCK_TMP_DIR` and in the
    system's folder for temporary files.
    """
    for parent in dict.fromkeys((os.environ.get('ZEROMQ_SOCK_TMP_DIR') or '', tempfile.gettempdir())):
        for folder in sorted(glob.glob(os.path.join(glob.escape(parent), PREFIX + '*'))) if parent else ():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
                if is_private(folder):
                    server.settimeout(ANSWER_S)
                    server.connect(_path(folder, port))
                    if answer := _read_all(server):
                        return answer
    return None


def _read_all(server: socket.socket) -> str:
    answer = b''
    while (more := server.recv(LONGEST_ANSWER)) and len(answer) < LONGEST_ANSWER:
        answer += more
    return answer.decode('utf-8', 'replace')


def _path(folder: str, port: int) -> str:
    return os.path.join(folder, 'stop-%d' % port)
