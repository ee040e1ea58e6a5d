"""Traces of requests: the context that a caller sends, and the times that the ring records for a traced job.

Pure. The context is a `traceparent` of W3C's Trace Context. Times are values of `time.monotonic`, which all processes
of a machine share. `telemetry` turns them into OpenTelemetry spans.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_TRACEPARENT = re.compile(r'([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?')

_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids of a trace and of the span in it that is the parent of our spans. Both are greater than 0."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def to_traceparent(self) -> str:
        """The value of the header."""
        return '00-%032x-%016x-%02x' % (self.trace_id, self.span_id, self.is_sampled)


def read_traceparent(text: str) -> TraceContext | None:
    """Parse a `traceparent`. Return None if it is invalid: W3C requires to ignore it then."""
    match = _TRACEPARENT.fullmatch(text.strip(' \t'))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == 'ff' or (version == '00' and more is not None):
        return None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None


@dataclass(slots=True)
class JobTrace:
    """The times of a job of a traced request. Each process of the ring adds its own; None means not reached.

    Attributes:
        traceparent: the parent of all spans.
        accepted_at: the ventilator has accepted the request.
        dispatched_at: the ventilator has handed the job to a worker.
        worker: the number of that worker.
        received_at: the worker has begun with the job.
        tokenized_at: the rows of the job are ready to be computed.
        tokens: the number of tokens, special tokens included.
        computing_at: the first batch with a row of the job has begun.
        computed_at: the last such batch has ended.
        sent_at: the worker has made the part that goes to the sink.
        collected_at: the sink has received the part.
    """

    traceparent: str
    accepted_at: float
    dispatched_at: float | None = None
    worker: int | None = None
    received_at: float | None = None
    tokenized_at: float | None = None
    tokens: int | None = None
    computing_at: float | None = None
    computed_at: float | None = None
    sent_at: float | None = None
    collected_at: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A span, with its child spans. `error` is the reason why the work failed."""

    name: str
    began_at: float
    ended_at: float
    attributes: Mapping[str, str | int | bool] = field(default_factory=dict)
    children: Sequence[Span] = ()
    error: str | None = None
