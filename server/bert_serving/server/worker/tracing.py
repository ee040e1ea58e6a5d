"""Record the times of traced jobs in a worker. Pure: the caller passes the time."""

from __future__ import annotations

from ..protocol.ring import JobHeader
from .batcher import Batch, ReadyJob


def note_tokenized(job: ReadyJob, now: float) -> None:
    """Record that the rows of a job wait from now on, and their number of tokens."""
    trace = job.header.trace
    if trace is not None:
        trace.tokenized_at, trace.tokens = now, sum(map(len, job.rows))


def note_computing(batch: Batch, now: float) -> None:
    """Record the start of each traced job that has its first computed row in `batch`."""
    for entry in batch.entries:
        for pending, _index in entry.places:
            trace = pending.job.header.trace
            if trace is not None and trace.computing_at is None:
                trace.computing_at = now


def note_computed(job: ReadyJob, now: float) -> None:
    """Record that the last row of a job is computed."""
    if job.header.trace is not None:
        job.header.trace.computed_at = now


def note_sent(header: JobHeader, worker: int, now: float) -> None:
    """Record the worker that made the part of a job."""
    if header.trace is not None:
        header.trace.worker, header.trace.sent_at = worker, now
