"""Requests that may have killed a sink: they begin again one at a time, so that one of them cannot kill all sinks.

The sink holds parts of many requests together, and its death taints all of them. A part that kills it at once is never
reported; so a request that workers computed at two deaths is suspect, too. Only a death while a request is on trial, or
was the only one with parts in the sink, is a strike against it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set

from .records import RequestRecord


class Suspects:
    """The suspect requests, by number: those that wait, and the one that is on trial.

    The trial ends when the sink has all parts of the request: it has joined them, and lives.
    """

    def __init__(self) -> None:
        self.on_trial: int | None = None
        self._waiting: dict[int, None] = {}
        self._handed_out_before: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[int]:
        """The requests that wait for their trials."""
        return iter(self._waiting)

    def __contains__(self, number: int) -> bool:
        """Whether a request waits for its trial."""
        return number in self._waiting

    def judge(self, requests: Collection[RequestRecord], handed_out: Set[int]) -> int | None:
        """Take in the death of a sink that was ready; return the request that gets a strike.

        Args:
            requests: those that wait for vectors, with the parts of each that the sink had.
            handed_out: the requests of which workers hold jobs.
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
        """Let the request that is on trial wait for another."""
        if self.on_trial is not None:
            self._waiting[self.on_trial] = None
            self.on_trial = None

    def try_next(self) -> int | None:
        """Return the request whose trial begins now; None if another is on trial, or none waits."""
        if self.on_trial is not None or not self._waiting:
            return None
        self.on_trial = next(iter(self._waiting))
        del self._waiting[self.on_trial]
        return self.on_trial

    def acquit(self, number: int) -> None:
        """End the trial of a request, if it is on trial: the sink has all of its parts."""
        if self.on_trial == number:
            self.on_trial = None

    def discard(self, number: int) -> None:
        """Forget a request for which no more jobs are handed out."""
        self.acquit(number)
        self._waiting.pop(number, None)
        self._handed_out_before.discard(number)
