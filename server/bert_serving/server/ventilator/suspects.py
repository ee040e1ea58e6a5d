"""Requests that might have crashed a sink: retry them one at a time, so that one of them cannot crash every sink.

The sink holds parts of many requests together, and its death makes all of them suspects. It never reports a part that
crashes it immediately. So a request that workers were computing at two deaths is a suspect, too. A death is a strike
against a request only while it is on trial, or was the only one with parts in the sink.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set

from .records import RequestRecord

MAX_STRIKES = 2
"""The number of workers or sinks that a request can crash while it runs alone, before it gets an error."""

LOST_MACHINE = MAX_STRIKES / 8
"""The strike against a request whose worker was lost with its machine. This says almost nothing about the request, but
one that makes a cluster kill its workers must not be retried forever."""

CRASHED_WORKERS = 'this request crashed two workers; do not retry it'
LOST_MACHINES = 'too many workers were lost with their machines while they ran only this request; do not retry it'
CRASHED_SINKS = 'this request crashed the sink twice; do not retry it as it is: split it'


class Suspects:
    """The suspects, by number: the waiting ones, and the one on trial.

    The trial ends when the sink has all parts of the request: it has survived joining them.
    """

    def __init__(self) -> None:
        self.on_trial: int | None = None
        self._waiting: dict[int, None] = {}
        self._handed_out_before: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the requests that wait for their trials."""
        return iter(self._waiting)

    def __contains__(self, number: int) -> bool:
        """Whether a request waits for its trial."""
        return number in self._waiting

    def judge(self, requests: Collection[RequestRecord], handed_out: Set[int]) -> int | None:
        """Handle the death of a ready sink. Return the request that gets a strike, if any.

        Args:
            requests: the requests that wait for vectors, each with the parts that the sink had.
            handed_out: the requests with jobs at workers.
        """
        having = [request for request in requests if request.collected]
        handed_out = handed_out & {request.number for request in requests}
        guilty, tried = None, self.on_trial
        if tried is not None and (tried in handed_out or any(request.number == tried for request in having)):
            guilty = tried
        elif len(having) == 1 and not having[0].is_collected:
            guilty = having[0].number
        self.begin_again()
        again = [*(request.number for request in having), *sorted(handed_out & self._handed_out_before)]
        self._waiting.update(dict.fromkeys(again))
        self._handed_out_before |= handed_out
        return guilty

    def begin_again(self) -> None:
        """Put the request on trial back into the queue for another trial."""
        if self.on_trial is not None:
            self._waiting[self.on_trial] = None
            self.on_trial = None

    def try_next(self) -> int | None:
        """Begin the next trial and return its request, or None if another is on trial or none waits."""
        if self.on_trial is not None or not self._waiting:
            return None
        self.on_trial = next(iter(self._waiting))
        del self._waiting[self.on_trial]
        return self.on_trial

    def acquit(self, number: int) -> None:
        """End the trial of a request, if it is on trial, because the sink has all of its parts."""
        if self.on_trial == number:
            self.on_trial = None

    def discard(self, number: int) -> None:
        """Remove a request that gets no more jobs."""
        self.acquit(number)
        self._waiting.pop(number, None)
        self._handed_out_before.discard(number)
