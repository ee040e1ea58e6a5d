"""The assembler: join the parts of a request into one reply.

Pure: typed messages go in, replies come out. No socket, process or clock.

Parts can arrive in any order, twice, and before the registration of their request. The assembler remembers the numbers
of finished requests for a while, to ignore parts that arrive too late or are computed again.

Most parts are joined when they come. Where much is left to copy when the last has come, the request is *joining*: it
stays open, and `join_some` copies a slice at a time, so that no other client waits for a large reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ..errors import InternalError, RequestError, TooLarge
from ..protocol.ring import JobHeader, Part, Refuse, RequestRef
from ..protocol.wire import format_identity
from .events import LogWarning
from .invariants import check
from .joining import PartJoiner, expected_bytes, is_whole
from .limits import DEFAULT_LIMITS, SinkLimits
from .replies import Reply
from .spans import ReplyTrace


@dataclass(slots=True)
class _Assembly:
    """The parts of one request that have come: their indexes, their rows and, if it is traced, their headers."""

    request: RequestRef
    joiner: PartJoiner | None = None
    received: set[int] = field(default_factory=set)
    traced: list[JobHeader] = field(default_factory=list)

    @property
    def held_bytes(self) -> int:
        return 0 if self.joiner is None else self.joiner.held_bytes


class Assembler:
    """The requests with missing parts. For the sink's thread only."""

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._open: dict[int, _Assembly] = {}
        self._open_bytes = 0
        self._joining: dict[int, tuple[PartJoiner, Iterator[None]]] = {}
        self._finished: set[int] = set()
        self._finished_order: deque[int] = deque()

    @property
    def open_requests(self) -> int:
        """The number of requests with missing parts."""
        return len(self._open)

    @property
    def joining(self) -> Collection[int]:
        """The requests, by number, whose parts have all come and are not yet joined."""
        return self._joining

    def register(self, request: RequestRef) -> None:
        """Open `request`, whose parts will follow."""
        self._open_assembly(request)

    def add(self, part: Part) -> list[Reply | LogWarning]:
        """Add a part.

        Return the reply if the request is now complete. If the parts take too much memory, return a warning and an
        error for the largest request. If the reply would be too large, return a warning and an error for this request.
        """
        request = part.header.request
        assembly = self._open_assembly(request)
        if assembly is None or part.header.part in assembly.received:
            return []
        expected = expected_bytes(part)
        if expected > self.limits.reply_bytes:
            return self._discard(request, TooLarge(_describe_excess(request, expected, self.limits.reply_bytes)))
        if is_whole(part):
            self._finish(request.number)
            return [_reply_of_one(part)]
        joiner = assembly.joiner
        if joiner is None:
            joiner = assembly.joiner = PartJoiner(request.total_rows, self.limits.slice_bytes)
        self._open_bytes -= joiner.held_bytes
        joiner.add(part)
        self._open_bytes += joiner.held_bytes
        assembly.received.add(part.header.part)
        if part.header.trace is not None:
            assembly.traced.append(part.header)
        if len(assembly.received) == request.parts:
            if joiner.is_joined:
                return [self._complete(assembly, joiner)]
            self._joining[request.number] = joiner, joiner.copy_rest()
            return []
        if self._open_bytes > self.limits.open_bytes:
            return self._discard_largest()
        return []

    def join_some(self) -> Reply | None:
        """Copy a slice of the request that has been joining for the longest; return its reply if that was the last."""
        number, (joiner, steps) = next(iter(self._joining.items()))
        return self._complete(self._open[number], joiner) if next(steps, self) is self else None

    def fail(self, header: JobHeader, error: RequestError) -> Reply | None:
        """Finish the request of a job with an error. Return the reply, or None if the request is already finished."""
        request = header.request
        if request.number in self._finished:
            return None
        self._finish(request.number)
        return Reply.error(request, error, ReplyTrace.of([header], error.type))

    def refuse(self, refuse: Refuse) -> Reply | None:
        """Finish a request with an error from the ventilator. Return the reply, or None if it is already finished."""
        if refuse.number in self._finished:
            return None
        if refuse.number:
            self._finish(refuse.number)
        return Reply.refusal(refuse)

    def drop(self, number: int) -> None:
        """Forget a request, and ignore its later parts."""
        self._finish(number)

    def check_invariants(self) -> None:
        """Raise AssertionError if the state is inconsistent. For tests."""
        finished, limits = self._finished, self.limits
        for number, assembly in self._open.items():
            is_complete = len(assembly.received) == assembly.request.parts
            check(assembly.request.number == number, 'an assembly has the number of another')
            check(is_complete == (number in self._joining), 'a request with all of its parts is open and not joining')
        check(self._joining.keys() <= self._open.keys(), 'a request is joining and not open')
        held = sum(assembly.held_bytes for assembly in self._open.values())
        check(self._open_bytes == held, 'open bytes are miscounted')
        joining = sum(self._open[number].held_bytes for number in self._joining)
        check(self._open_bytes - joining <= limits.open_bytes, 'too many bytes are open')
        check(not self._open.keys() & finished, 'a request is both open and finished')
        check(set(self._finished_order) == finished, 'the finished numbers differ from their order')
        check(len(self._finished_order) == len(finished), 'a finished number is remembered twice')
        check(len(finished) <= limits.finished_numbers, 'too many finished numbers are remembered')

    def _open_assembly(self, request: RequestRef) -> _Assembly | None:
        """Return the assembly of `request`, opened if it is new, or None if the request is finished."""
        if request.number in self._finished:
            return None
        assembly = self._open.get(request.number)
        if assembly is None:
            assembly = self._open[request.number] = _Assembly(request)
        return assembly

    def _complete(self, assembly: _Assembly, joiner: PartJoiner) -> Reply:
        self._finish(assembly.request.number)
        return _reply_of(assembly, joiner)

    def _discard_largest(self) -> list[Reply | LogWarning]:
        incomplete = [assembly for number, assembly in self._open.items() if number not in self._joining]
        request = max(incomplete, key=lambda assembly: assembly.held_bytes).request
        error = TooLarge(
            'out of assembly memory (%d bytes); this response, %d rows, is the largest: split the request'
            % (self.limits.open_bytes, request.total_rows)
        )
        return self._discard(request, error)

    def _discard(self, request: RequestRef, error: TooLarge) -> list[Reply | LogWarning]:
        self._finish(request.number)
        warning = 'discarded a request of %s: %s' % (format_identity(request.identity), error.message)
        return [LogWarning(warning), Reply.error(request, error)]

    def _finish(self, number: int) -> None:
        """Forget the parts of a request, and remember its number as finished."""
        assembly = self._open.pop(number, None)
        self._joining.pop(number, None)
        if assembly is not None:
            self._open_bytes -= assembly.held_bytes
        if number in self._finished:
            return
        self._finished.add(number)
        self._finished_order.append(number)
        if len(self._finished_order) > self.limits.finished_numbers:
            self._finished.discard(self._finished_order.popleft())


def _describe_excess(request: RequestRef, expected: int, most: int) -> str:
    return 'the reply to %d rows would have %d MB, but -max_reply_bytes of the server is %d MB: split the request' % (
        request.total_rows,
        -(-expected // 1_000_000),
        most // 1_000_000,
    )


def _reply_of(assembly: _Assembly, joiner: PartJoiner) -> Reply:
    request = assembly.request
    try:
        trace = ReplyTrace.of(assembly.traced) if assembly.traced else None
        return Reply.result(request, joiner.answer(), trace)
    except (ValueError, MemoryError) as error:
        return Reply.error(request, InternalError('could not assemble the response: %s' % error))


def _reply_of_one(part: Part) -> Reply:
    """The reply to a request of one part, which needs no copy."""
    header = part.header
    return Reply.result(header.request, part.answer, None if header.trace is None else ReplyTrace.of([header]))
