"""What the status of the server behind says about its health, and whether this proxy should be sent requests.

Pure: `backend` gets the status, `operation` answers what is judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Report:
    """The latest status that the server has sent (None: none yet), and whether it has answered just now."""

    status: Mapping[str, Any] | None
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class Health:
    """`is_live`: the ventilator answers. `is_ready`: requests are welcome here. `reason` says why not, in words."""

    is_live: bool
    is_ready: bool
    reason: str
    server: str
    workers_ready: int | None
    workers: int | None
    release: str | None

    def to_json(self, is_good: bool) -> dict[str, Any]:
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


def judge(report: Report, is_draining: bool = False) -> Health:
    """`is_draining` is this proxy's own; a server that does not tell of its workers is taken at its word."""
    status = report.status or {}
    state = status.get('server_state', 'serving') if report.is_fresh else 'away'
    listed = status.get('workers')
    ready = None if listed is None else sum(worker.get('state') == 'ready' for worker in listed)
    reason = ''
    if is_draining:
        reason = 'this proxy is shutting down'
    elif not report.is_fresh:
        reason = 'the server behind does not answer'
    elif state != 'serving':
        reason = 'the server behind is %s' % state
    elif ready == 0:
        reason = 'no worker is ready'
    workers = None if listed is None else len(listed)
    return Health(report.is_fresh, not reason, reason, state, ready, workers, status.get('server_release'))


def model_names(status: Mapping[str, Any] | None, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names under which the model is served: those that were given, or that of its folder; () if not yet known.

    For a folder that is called `model`, as packages have it, it is that of the folder around it.
    """
    if given or status is None:
        return given
    folders = [folder for folder in str(status.get('model_dir') or '').split('/') if folder not in ('', 'model')]
    return (folders[-1] if folders else 'bert',)
