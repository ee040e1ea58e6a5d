"""The memory that a server can have, and how its processes share it.

In a container the limit is that of a cgroup, of version 1 or 2, or of one around it; the machine has more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ..options.settings import Settings

MIB, GIB = 1 << 20, 1 << 30

LEAST_BYTES = 64 * MIB
"""No less is planned with: a server with less cannot even start."""


@dataclass(frozen=True, slots=True)
class MemoryShares:
    """Bytes for all that grows with what clients send, and with what they do not read.

    The rest is for the weights, the batches and the programs themselves.

    Attributes:
        queue: requests that are accepted and not finished.
        open_parts: parts in the sink that wait for others of their request.
        reply: one reply. While it is joined, the sink holds it twice.
        unread: replies that clients do not read.
        unread_by_client: those of one client.
        http: responses of the HTTP proxy that are made and not yet written.
    """

    queue: int
    open_parts: int
    reply: int
    unread: int
    unread_by_client: int
    http: int

    @classmethod
    def of(cls, total: int, settings: Settings) -> MemoryShares:
        """Share out `total` bytes; options that set a share go first."""
        total = max(total, LEAST_BYTES)
        reply = settings.max_reply_bytes or total // 6
        return cls(
            queue=min(GIB, total // 8),
            open_parts=total // 4,
            reply=reply,
            unread=max(reply, min(GIB, total // 8)),
            unread_by_client=settings.max_unread_bytes or min(256 * MIB, total // 16),
            http=min(256 * MIB, total // 16),
        )

    def for_sink(self) -> dict[str, int]:
        """The fields of `SinkLimits` that follow from the shares."""
        return {
            'open_bytes': self.open_parts,
            'reply_bytes': self.reply,
            'unread_bytes': self.unread,
            'unread_bytes_of_identity': self.unread_by_client,
        }


def share_memory(settings: Settings) -> MemoryShares:
    """Share out the memory that the options allow, or else all that this process can have."""
    return MemoryShares.of(settings.max_memory_bytes or available_bytes(), settings)


def available_bytes(proc: str = '/proc', cgroups: str = '/sys/fs/cgroup') -> int:
    """Return the memory that this process and its children can have: the least limit around it, or the machine's."""
    machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return min([machine, *_limits(proc, cgroups)])


def _limits(proc: str, cgroups: str) -> Iterator[int]:
    """The limits of the cgroups of this process and of all around them."""
    for hierarchy, group in _groups(proc):
        folder, name = (
            (cgroups, 'memory.max') if not hierarchy else (os.path.join(cgroups, 'memory'), 'memory.limit_in_bytes')
        )
        parts = [part for part in group.split('/') if part not in ('', '.', '..')]
        for depth in range(len(parts) + 1):
            limit = _read_limit(os.path.join(folder, *parts[:depth], name))
            if limit is not None:
                yield limit


def _groups(proc: str) -> Iterator[tuple[str, str]]:
    """The cgroups that can limit memory, as `(controllers, path)`; version 2 names no controllers.

    A container may see the path on its host, of which only the root is mounted: folders that are missing do not count.
    """
    try:
        with open(os.path.join(proc, 'self', 'cgroup')) as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        _number, _, rest = line.partition(':')
        controllers, _, path = rest.partition(':')
        if not controllers or 'memory' in controllers.split(','):
            yield controllers, path


def _read_limit(path: str) -> int | None:
    """The limit in a file; None if there is no such file, or it says `max`."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
