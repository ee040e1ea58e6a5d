"""The health of the server, judged by its status, and whether this proxy should be sent requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The latest status of the server (None: there is none yet), and whether the server has just sent it."""

    status: Mapping[str, Any] | None
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class Health:
    """`is_live`: the ventilator answers. `is_ready`: send requests here. `reason`: why it is not ready, or ''.

    `workers` and `workers_ready` are None for a server that does not list its workers (release 1.10).
    """

    is_live: bool
    is_ready: bool
    reason: str
    server: str
    workers_ready: int | None
    workers: int | None
    release: str | None

    def to_json(self, is_good: bool) -> dict[str, Any]:
        """The body of a health route; `is_good` is the outcome of its check."""
        return {
            'status': 'ok' if is_good else 'unavailable',
            'live': self.is_live,
            'ready': self.is_ready,
            'reason': self.reason,
            'server': self.server,
            'workers_ready': self.workers_ready,
            'workers': self.workers,
            'server_release': self.release,
        }


def judge(snapshot: StatusSnapshot, is_draining: bool = False) -> Health:
    """The health that `snapshot` shows; `is_draining` is that of this proxy.

    A server that does not list its workers is ready if it serves.
    """
    status = snapshot.status or {}
    state = status.get('server_state', 'serving') if snapshot.is_fresh else 'away'
    listed = status.get('workers')
    ready = None if listed is None else sum(worker.get('state') == 'ready' for worker in listed)
    reason = ''
    if is_draining:
        reason = 'the HTTP proxy is shutting down'
    elif not snapshot.is_fresh:
        reason = 'the server does not respond'
    elif state != 'serving':
        reason = 'the server is %s' % state
    elif ready == 0:
        reason = 'no worker is ready'
    workers = None if listed is None else len(listed)
    return Health(snapshot.is_fresh, not reason, reason, state, ready, workers, status.get('server_release'))
