"""Judge the health of the servers by their statuses, and whether this proxy should get requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The latest status of the server, or None before the first, and whether it is fresh."""

    status: Mapping[str, Any] | None
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a server: `is_live` if the ventilator responds, `is_ready` for requests, or the `reason` why not.

    `workers` and `workers_ready` are None if the server does not list its workers (release 1.10).
    """

    is_live: bool
    is_ready: bool
    reason: str
    server: str
    workers_ready: int | None
    workers: int | None
    release: str | None
    workers_waiting: int = 0
    """Workers that wait for resources on a cluster."""

    def to_json(self, is_good: bool) -> dict[str, Any]:
        """The body of a health route. `is_good` is the outcome of its check."""
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
    """Judge the health by `snapshot`. `is_draining` is the state of this proxy.

    A server that does not list its workers counts as ready while it is serving.
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
    waiting = sum(worker.get('state') == 'waiting' for worker in listed or ())
    return Health(snapshot.is_fresh, not reason, reason, state, ready, workers, status.get('server_release'), waiting)


def judge_upstreams(
    snapshots: Mapping[str, Sequence[StatusSnapshot]], is_draining: bool = False
) -> tuple[Health, dict[str, list[Health]]]:
    """Judge the health of a proxy with upstreams and of each replica, by the snapshots of each name's replicas.

    The proxy is ready if each name has a ready replica, and live if any replica responds. Worker counts are sums.
    """
    health = {name: [judge(snapshot) for snapshot in of_name] for name, of_name in snapshots.items()}
    replicas = [each for of_name in health.values() for each in of_name]
    lacking = [name for name, of_name in health.items() if not any(each.is_ready for each in of_name)]
    reason = 'no server is ready for %s' % ', '.join(lacking) if lacking else ''
    if is_draining:
        reason = 'the HTTP proxy is shutting down'
    ready = sum(each.workers_ready or 0 for each in replicas)
    workers = sum(each.workers or 0 for each in replicas)
    is_live = any(each.is_live for each in replicas)
    return Health(is_live, not reason, reason, 'upstreams', ready, workers, None), health
