"""Make the spans of a traced request in the ring from the times of its jobs.

Pure. The sink makes all spans, because it handles a request last. The ventilator, which can run in a user's program,
and the workers only record times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..protocol.ring import JobHeader
from ..protocol.tracing import JobTrace, Span


@dataclass(frozen=True, slots=True)
class ReplyTrace:
    """The traced jobs of a reply, at least one. `error` is the type of an error reply, or None."""

    jobs: Sequence[JobHeader]
    error: str | None = None

    @classmethod
    def of(cls, headers: Iterable[JobHeader], error: str | None = None) -> ReplyTrace | None:
        """Make the trace of a reply to these jobs, or return None if their request is not traced."""
        jobs = sorted((header for header in headers if header.trace is not None), key=lambda header: header.part)
        return cls(jobs, error) if jobs else None

    @property
    def traceparent(self) -> str:
        """The parent of the spans."""
        return self._traces[0].traceparent

    @property
    def _traces(self) -> list[JobTrace]:
        return [header.trace for header in self.jobs if header.trace is not None]

    def spans(self, published_at: float) -> list[Span]:
        """The spans of a reply published at `now`: two for each job, and one for the sink."""
        spans = [span for header, trace in zip(self.jobs, self._traces, strict=True) for span in _job(header, trace)]
        collected = [trace.collected_at for trace in self._traces if trace.collected_at is not None]
        request = self.jobs[0].request
        attributes = {'bert_serving.rows': request.total_rows, 'bert_serving.parts': request.parts}
        return [
            *spans,
            Span('sink', min(collected, default=published_at), published_at, attributes, error=self.error),
        ]


def _job(header: JobHeader, trace: JobTrace) -> Iterator[Span]:
    about: dict[str, str | int | bool] = {
        'bert_serving.request': header.request.number,
        'bert_serving.part': header.part,
        'bert_serving.attempt': header.attempt,
        'bert_serving.rows': header.rows,
    }
    if trace.dispatched_at is None:
        return
    yield Span(
        'ventilator queue', trace.accepted_at, trace.dispatched_at, {**about, 'bert_serving.lane': header.lane.value}
    )
    if trace.received_at is None or trace.sent_at is None:
        return
    if trace.worker is not None:
        about['bert_serving.worker'] = trace.worker
    if trace.tokens is not None:
        about['bert_serving.tokens'] = trace.tokens
    times = [
        ('tokenize', trace.received_at, trace.tokenized_at),
        ('wait', trace.tokenized_at, trace.computing_at),
        ('compute', trace.computing_at, trace.computed_at),
    ]
    steps = [Span(name, start, end) for name, start, end in times if start is not None and end is not None]
    yield Span('worker', trace.dispatched_at, trace.sent_at, about, steps)
