"""Find the memory limit of a server, and share the memory out.

In a container, the limit belongs to a cgroup, of version 1 or 2, or to a parent of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ..options.settings import Settings

MIB, GIB = 1 << 20, 1 << 30

LEAST_BYTES = 64 * MIB
"""The minimum memory to plan with. A server with less cannot even start."""


@dataclass(frozen=True, slots=True)
class MemoryShares:
    """The shares of memory, in bytes, for data that grows with requests and unread replies.

    The rest is for the weights, the batches and the programs.

    Attributes:
        queue: accepted and unfinished requests.
        open_parts: parts of incomplete requests in the sink.
        reply: one reply. While joining it, the sink holds it twice.
        unread: replies that clients do not read.
        unread_by_client: unread replies of one client.
        http: unwritten responses of the HTTP proxy.
    """

    queue: int
    open_parts: int
    reply: int
    unread: int
    unread_by_client: int
    http: int

    @classmethod
    def of(cls, total: int, settings: Settings) -> MemoryShares:
        """Share out `total` bytes. Options that set a share take precedence."""
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
    """Share out the memory of the options, or by default all that this process can use."""
    return MemoryShares.of(settings.max_memory_bytes or available_bytes(), settings)


def available_bytes(proc: str = '/proc', cgroups: str = '/sys/fs/cgroup') -> int:
    """Return the memory that this process and its children can use: the lowest cgroup limit, or all of it."""
    machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return min([machine, *_limits(proc, cgroups)])


def _limits(proc: str, cgroups: str) -> Iterator[int]:
    """The limits of the cgroups of this process and of their parents."""
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

    A container can see the path of its host, of which only the root is mounted, so missing folders are skipped.
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
    """The limit in a file, or None if the file is missing or says `max`."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
