"""Counters of the children's work, which outlive the children."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..process.reports import Payload
from ..security.actions import NO_ACTIONS, add_up
from ..stats import WorkerTally


class ChildCounters:
    """Counts the work of all children of a server, alive and dead. For the server's thread only."""

    def __init__(self) -> None:
        self._workers: dict[int, WorkerTally] = {}
        self._dead_workers = WorkerTally()
        self._discarded_replies = 0
        self._discarded_by_dead_sinks = 0
        self._slow_readers = 0
        self._slow_readers_of_dead_sinks = 0
        self._security: Mapping[str, int] = NO_ACTIONS
        self._security_of_dead_sinks: Mapping[str, int] = NO_ACTIONS

    def update_worker(self, worker: int, payload: Payload) -> None:
        """Update the counts from a worker's heartbeat."""
        if 'tally' in payload:
            self._workers[worker] = WorkerTally.from_json(payload['tally'])

    def worker_lost(self, worker: int) -> None:
        """Keep the counts of a dead worker. Its successor counts from 0."""
        self._dead_workers += self._workers.pop(worker, WorkerTally())

    def update_sink(self, payload: Payload) -> None:
        """Update the counts from a heartbeat of the sink."""
        self._slow_readers = payload.get('slow_readers', self._slow_readers)
        self._security = payload.get('security', self._security)
        self._discarded_replies = payload.get('given_up', self._discarded_replies)

    def sink_lost(self) -> None:
        """Keep the counts of a dead sink. Its successor counts from 0."""
        self._slow_readers_of_dead_sinks += self._slow_readers
        self._slow_readers = 0
        self._security_of_dead_sinks = add_up(self._security_of_dead_sinks, self._security)
        self._security = NO_ACTIONS
        self._discarded_by_dead_sinks += self._discarded_replies
        self._discarded_replies = 0

    @property
    def truncated_rows(self) -> int:
        """The number of rows that the workers have truncated."""
        return self._all_workers.truncated_rows

    @property
    def _all_workers(self) -> WorkerTally:
        return sum(self._workers.values(), self._dead_workers)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of the status's `statistic`."""
        return {
            **self._all_workers.to_dict(),
            'num_given_up_reply': self._discarded_by_dead_sinks + self._discarded_replies,
            'num_slow_reader': self._slow_readers_of_dead_sinks + self._slow_readers,
            **add_up(self._security_of_dead_sinks, self._security),
        }
