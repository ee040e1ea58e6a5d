"""Assembling: the parts of a request become one reply.

Pure: typed messages go in, replies come out. No socket, process or clock.

Parts can come in any order, twice, and before the registration of their request. The numbers of finished requests are
remembered for a while, so that a part that comes too late, or is computed again, opens nothing and answers nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..errors import InternalError, RequestError, TooLarge
from ..protocol.ring import JobHeader, Part, Refuse, RequestRef
from ..protocol.wire import format_identity
from .events import LogWarning
from .invariants import check
from .joining import expected_bytes, held_bytes, join_parts
from .limits import DEFAULT_LIMITS, SinkLimits
from .replies import Reply
from .spans import ReplyTrace


@dataclass(slots=True)
class _Assembly:
    """The parts of one request that have come, by their index, and the bytes that they take."""

    request: RequestRef
    received: dict[int, Part] = field(default_factory=dict)
    bytes: int = 0


class Assembler:
    """The requests of which parts are still to come. Used by the sink's one thread."""

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._open: dict[int, _Assembly] = {}
        self._open_bytes = 0
        self._finished: set[int] = set()
        self._finished_order: deque[int] = deque()

    @property
    def open_requests(self) -> int:
        """Requests of which parts are still to come."""
        return len(self._open)

    def register(self, request: RequestRef) -> None:
        """Open `request`, of which the parts will come."""
        self._open_assembly(request)

    def add(self, part: Part) -> list[Reply | LogWarning]:
        """Take in a part.

        Return the reply to its request if that is complete now. If too much memory is taken, or the reply would be too
        large, return a warning and the error for the largest request or for this one.
        """
        request = part.header.request
        assembly = self._open_assembly(request)
        if assembly is None or part.header.part in assembly.received:
            return []
        expected = expected_bytes(part)
        if expected > self.limits.reply_bytes:
            return self._discard(request, TooLarge(_describe_excess(request, expected, self.limits.reply_bytes)))
        size = held_bytes(part.answer)
        assembly.received[part.header.part] = part
        assembly.bytes += size
        self._open_bytes += size
        if len(assembly.received) == request.parts:
            self._finish(request.number)
            return [_join(assembly)]
        if self._open_bytes > self.limits.open_bytes:
            return self._discard_largest()
        return []

    def fail(self, header: JobHeader, error: RequestError) -> Reply | None:
        """Finish the request of a job with an error. Return the reply, or None if the request is finished already."""
        request = header.request
        if request.number in self._finished:
            return None
        self._finish(request.number)
        return Reply.error(request, error, ReplyTrace.of([header], error.type))

    def refuse(self, refuse: Refuse) -> Reply | None:
        """Answer a request with an error of the ventilator. Return the reply, or None if the request is finished."""
        if refuse.number in self._finished:
            return None
        if refuse.number:
            self._finish(refuse.number)
        return Reply.refusal(refuse)

    def drop(self, number: int) -> None:
        """Forget a request, and ignore the parts of it that still come."""
        self._finish(number)

    def check_invariants(self) -> None:
        """Raise AssertionError if the books disagree. For tests."""
        finished, limits = self._finished, self.limits
        for number, assembly in self._open.items():
            held = sum(held_bytes(part.answer) for part in assembly.received.values())
            check(assembly.request.number == number, 'an assembly has the number of another')
            check(assembly.bytes == held, 'the bytes of an assembly are miscounted')
            check(len(assembly.received) < assembly.request.parts, 'a request with all of its parts is still open')
        check(self._open_bytes == sum(assembly.bytes for assembly in self._open.values()), 'open bytes are miscounted')
        check(self._open_bytes <= limits.open_bytes, 'too many bytes are open')
        check(not self._open.keys() & finished, 'a request is both open and finished')
        check(set(self._finished_order) == finished, 'the finished numbers differ from their order')
        check(len(self._finished_order) == len(finished), 'a finished number is remembered twice')
        check(len(finished) <= limits.finished_numbers, 'too many finished numbers are remembered')

    def _open_assembly(self, request: RequestRef) -> _Assembly | None:
        """The assembly of `request`, opened if it is new; None if the request is finished."""
        if request.number in self._finished:
            return None
        assembly = self._open.get(request.number)
        if assembly is None:
            assembly = self._open[request.number] = _Assembly(request)
        return assembly

    def _discard_largest(self) -> list[Reply | LogWarning]:
        request = max(self._open.values(), key=lambda assembly: assembly.bytes).request
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
        """Forget the parts of a request, open or not, and remember its number."""
        assembly = self._open.pop(number, None)
        if assembly is not None:
            self._open_bytes -= assembly.bytes
        if number in self._finished:
            return
        self._finished.add(number)
        self._finished_order.append(number)
        if len(self._finished_order) > self.limits.finished_numbers:
            self._finished.discard(self._finished_order.popleft())


def _describe_excess(request: RequestRef, expected: int, most: int) -> str:
    return 'the reply to %d rows would have %d MB, and -max_reply_bytes of the server is %d MB: send it in parts' % (
        request.total_rows,
        -(-expected // 1_000_000),
        most // 1_000_000,
    )


def _join(assembly: _Assembly) -> Reply:
    request, parts = assembly.request, list(assembly.received.values())
    try:
        answer = join_parts(parts, request.total_rows)
        trace = None if parts[0].header.trace is None else ReplyTrace.of(part.header for part in parts)
        return Reply.result(request, answer, trace)
    except (ValueError, MemoryError) as error:
        return Reply.error(request, InternalError('could not assemble the response: %s' % error))
