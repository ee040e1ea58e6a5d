"""What the scheduler remembers of each request and each worker."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..errors import RequestError
from ..protocol.ring import Job, Lane
from ..protocol.wire import EncodeRequest, Options

OBJECTS_BYTES = 4096
"""What a request of one job takes beside its message."""

Key = tuple[bytes, bytes, bytes, Options]
"""What tells a request from all others: identity, request id, digest of the message, options."""


@dataclass(slots=True)
class RequestRecord:
    """A request that is accepted and not finished."""

    key: Key
    arrived_at: float
    last_seen_at: float
    """When it came last: a client that has come back sends it again."""
    bytes: int
    jobs: list[Job]
    """All of them, by part, as they were last made: what a new worker or a new sink would need computed again."""
    waiting: dict[Lane, deque[Job]]
    """Jobs that are not with a worker, by lane; a quarantined one's stand in `Scheduler._quarantine` instead."""
    collected: set[int] = field(default_factory=set)
    """Parts that the sink has."""
    strikes: int = 0
    """Workers that died while they computed nothing but this."""
    refusal: RequestError | None = None
    """The error that it is being answered with, instead of vectors."""

    @property
    def rows(self) -> int:
        return self.jobs[0].header.request.total_rows


Hold = tuple[int, int, int]
"""What a worker holds: number, part, attempt."""


@dataclass(slots=True)
class WorkerRecord:
    """What a worker holds, and whether it gets more."""

    held: dict[Hold, Job] = field(default_factory=dict)
    """Jobs sent and not collected."""
    rows: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    """Rows held, by lane."""
    reserved: bool = False
    """Whether it is kept free for the quarantine: it gets no other jobs."""
    running_alone: int | None = None
    """The number of the quarantined request that it holds, and nothing else."""
    dying: bool = False
    """Whether its process is gone: it gets no more jobs."""

    def take(self, job: Job) -> None:
        header = job.header
        self.held[header.request.number, header.part, header.attempt] = job
        self.rows[header.lane] += header.rows

    def let_go(self, hold: Hold) -> None:
        job = self.held.pop(hold, None)
        if job is not None:
            self.rows[job.header.lane] -= job.header.rows
        if not self.held:
            self.running_alone = None

    def forget_all(self) -> None:
        self.held.clear()
        self.rows = dict.fromkeys(Lane, 0)
        self.running_alone = None


def bytes_kept(request: EncodeRequest) -> int:
    """What a request takes of the memory, roughly: of a small one, the objects that it is kept in."""
    return len(request.payload) + OBJECTS_BYTES
