"""A free port, for a server of another project that cannot choose one itself."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a TCP port of this machine that was free at the time of the call."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        port: int = taken.getsockname()[1]
        return port
