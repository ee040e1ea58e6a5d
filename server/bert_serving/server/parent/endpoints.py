"""The addresses of a server: its ports, and the endpoints between its own processes."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(slots=True)
class Ports:
    """The ports of a server: first from its options, where 0 means any free port, then the actual ones."""

    port: int
    port_out: int
    http_port: int | None
    """The HTTP port, or None without HTTP."""


class Endpoints:
    """The endpoints of the ring: Unix sockets in the folder of one server.

    Each child has its own endpoints, and its successor gets others. So no message to or from a child reaches its
    successor.
    """

    def __init__(self, folder: str) -> None:
        """Choose the endpoints of the first sink in `folder`."""
        self._folder = folder
        self._generations = 0
        self.workers: dict[int, str] = {}
        self.move_sink()

    def move_sink(self) -> None:
        """Choose new endpoints for the next sink: `sink` for its intake, and `feedback` for its reports."""
        generation = self._next_generation()
        self.sink = self._address('sink-%d' % generation)
        self.feedback = self._address('feedback-%d' % generation)

    def move_worker(self, worker: int) -> None:
        """Choose a new endpoint for the next worker with this number."""
        self.workers[worker] = self._address('worker-%d-%d' % (worker, self._next_generation()))

    def _next_generation(self) -> int:
        self._generations += 1
        return self._generations

    def _address(self, name: str) -> str:
        return 'ipc://' + os.path.join(self._folder, name)
