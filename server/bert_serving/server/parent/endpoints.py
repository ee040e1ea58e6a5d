"""The addresses of a server: its ports, and the endpoints between its own processes."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass

from ..links.outlets import REMOTE


@dataclass(slots=True)
class Ports:
    """The ports of a server: first from its options, where 0 means any free port, then the actual ones."""

    port: int
    port_out: int
    http_port: int | None
    """The HTTP port, or None without HTTP."""


class Endpoints:
    """The endpoints of the ring: Unix sockets in the folder of one server, and names of workers on other machines.

    Each child has its own endpoints, and its successor gets others. So no message to or from a child reaches its
    successor.
    """

    def __init__(self, folder: str, remote: Container[int] = ()) -> None:
        """Choose the endpoints of the first sink in `folder`; `remote` are the workers on other machines."""
        self._folder = folder
        self._remote = remote
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
        name = 'worker-%d-%d' % (worker, self._next_generation())
        self.workers[worker] = REMOTE + name if worker in self._remote else self._address(name)

    def _next_generation(self) -> int:
        self._generations += 1
        return self._generations

    def _address(self, name: str) -> str:
        return 'ipc://' + os.path.join(self._folder, name)
