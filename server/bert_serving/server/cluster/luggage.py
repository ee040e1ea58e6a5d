"""The files that workers on other machines need. Each goes to the cluster once, under its digest."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.files import digest_of
from .interface import Cluster


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file in the cluster.

    Attributes:
        path: its path on the server's machine.
        sha256: its digest, in hexadecimal digits.
        content: the reference that `Host.fetch` takes.
    """

    path: str
    sha256: str
    content: Any


class Luggage:
    """The files that are already in the cluster. Thread-safe."""

    def __init__(self, cluster: Cluster) -> None:
        """Begin with no files in `cluster`."""
        self._cluster = cluster
        self._connection: int | None = None
        self._lock = threading.Lock()
        self._packed: dict[str, PackedFile] = {}

    def pack(self, paths: Sequence[str]) -> list[PackedFile]:
        """Return the files at `paths`, after putting those into the cluster that it does not have yet.

        Raises:
            OSError: a file cannot be read.
            ActorLost: the server has left the cluster, or cannot reach it.
        """
        with self._lock:
            connection = self._cluster.connect()
            if connection != self._connection:
                self._connection = connection
                self._packed.clear()
            for path in paths:
                if path not in self._packed:
                    with open(path, 'rb') as file:
                        is_empty = not os.fstat(file.fileno()).st_size
                        content = b'' if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                    self._packed[path] = PackedFile(path, digest_of([content]), self._cluster.put(content))
            return [self._packed[path] for path in paths]
