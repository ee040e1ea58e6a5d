"""Find jobs: they wait for a turn, are in quarantine, with a worker, with a suspect request, or collected."""

from __future__ import annotations

from ..protocol.ring import Job
from .invariants import check
from .quarantine import Quarantine
from .records import RequestRecord
from .registry import RequestRegistry
from .suspects import Suspects
from .turns import TurnQueue
from .workers import WorkerPool


class Places:
    """Looks for jobs in all places, without moving them."""

    def __init__(
        self,
        requests: RequestRegistry,
        turns: TurnQueue,
        quarantine: Quarantine,
        suspects: Suspects,
        workers: WorkerPool,
    ) -> None:
        self._requests = requests
        self._turns = turns
        self._quarantine = quarantine
        self._suspects = suspects
        self._workers = workers

    def gauge(self) -> dict[str, int]:
        """The current amounts, by the keys of the status."""
        apart = {*self._quarantine.requests, *self._suspects}
        suspect_rows = sum(job.header.rows for number in self._suspects for job in self.left_of(number))
        return {
            'queue_rows': self._turns.rows + self._quarantine.rows + suspect_rows,
            'queue_requests': self._turns.requests + sum(not self._turns.parts_of(number) for number in apart),
            'in_flight_rows': sum(worker.total_rows for worker in self._workers),
            'unfinished_requests': len(self._requests),
            'unfinished_rows': self._requests.rows,
        }

    def left_of(self, number: int) -> list[Job]:
        """The jobs of a request that the sink has not collected, except those in quarantine."""
        request = self._requests[number]
        elsewhere = request.collected.union(self._quarantine.parts_of(number))
        return [job for job in request.jobs if job.header.part not in elsewhere]

    def describe(self, request: RequestRecord) -> str:
        """Describe in one line where the parts of an unfinished request are."""
        number = request.number
        held = {
            part: name for name in self._workers.holders_of(number) for part in self._workers[name].parts_of(number)
        }
        places = self._turns.parts_of(number), self._quarantine.parts_of(number), held, sorted(request.collected)
        where = 'now: waiting=%s quarantined=%s with_worker=%s collected=%s' % places
        return where + ' suspect' if number in self._suspects else where

    def check(self) -> None:
        """Raise InvariantError unless every part of every request is in one of the places."""
        elsewhere: dict[int, set[int]] = {}
        for job in self._quarantine:
            elsewhere.setdefault(job.header.request.number, set()).add(job.header.part)
        for worker in self._workers:
            for number, part, _attempt in worker.held:
                elsewhere.setdefault(number, set()).add(part)
        for request in self._requests:
            waiting, number = self._turns.parts_of(request.number), request.number
            if request.refusal is not None:
                check(not waiting, 'a refused request still has a turn', number)
                check(number not in self._suspects, 'a refused request still waits for a trial', number)
                continue
            if number in self._suspects:
                check(not waiting, 'a request that waits for a trial has a turn', number)
                waiting = [job.header.part for job in self.left_of(number)]
            known = set(waiting) | request.collected | elsewhere.get(number, set())
            check(known == set(range(len(request.jobs))), 'a job is nowhere', number)
