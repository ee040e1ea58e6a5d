"""The socket in the server's private folder through which `bert-serving-terminate` stops the server.

Only the server's user and root can enter the folder. A connection is the request, and the reply is one line. The port
for requests would give no reply, and any local user could connect to it.
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
"""The reply of a server that obeys. Any other reply is the reason for a refusal."""

ANSWER_S = 5.0
"""Seconds to wait for the reply. A running server replies immediately."""

LONGEST_ANSWER = 1000


class ControlSocket:
    """Listens in a folder, calls `answer` for each request, and sends the returned line."""

    def __init__(self, folder: str, port: int, answer: Callable[[], str]) -> None:
        """Listen for the server with the request port `port`."""
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(_path(folder, port))
        self._listener.listen()
        self._listener.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is a request."""
        return self._listener.fileno()

    def on_request(self) -> None:
        """Answer one request."""
        with contextlib.suppress(OSError):  # the client is gone or does not read
            connection, _ = self._listener.accept()
            with connection:
                connection.setblocking(False)
                connection.sendall(self._answer().encode()[:LONGEST_ANSWER])

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def ask_to_stop(port: int) -> str | None:
    """Ask the server of this user on this machine with that request port to stop, and return its reply.

    Return None if there is no such server, or its folder is neither in `ZEROMQ_SOCK_TMP_DIR` nor in the system's
    temporary folder.
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
