"""A port that is free, for a server of others that cannot choose one itself."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port of this machine that nobody had when this was called."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        port: int = taken.getsockname()[1]
        return port
