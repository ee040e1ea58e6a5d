"""The scheduler's memory of one request."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import RequestError
from ..protocol.options import Options
from ..protocol.ring import Job, RequestRef
from ..protocol.wire import EncodeRequest
from .stories import Story

OBJECTS_BYTES = 4096
"""Memory that a request of one job takes in addition to its message."""

Key = tuple[bytes, bytes, bytes, Options | None]
"""Identity, request id, digest of the message, options or None without.

Two requests with the same key are one that was sent again.
"""


@dataclass(slots=True)
class RequestRecord:
    """A request that is accepted and not finished."""

    ref: RequestRef
    key: Key
    memory_bytes: int
    """As the function of that name."""
    jobs: list[Job]
    """Its jobs by part, each in its last attempt: all that a new worker or a new sink can need."""
    arrived_at: float
    last_seen_at: float
    """When it came last. A client that has reconnected sends it again."""
    collected: set[int] = field(default_factory=set)
    """Parts that the sink has."""
    strikes: int = 0
    """Workers and sinks that died while they held this request alone."""
    refusal: RequestError | None = None
    """The error that it is being answered with, instead of vectors."""
    story: Story | None = None
    """Its life so far, if that is unusual."""

    def note(self, now: float, event: str) -> None:
        """Write an unusual event, or what follows one, into the story of the request."""
        if self.story is None:
            self.story = Story(self.ref, self.arrived_at)
        self.story.add(now, event)

    @property
    def number(self) -> int:
        return self.ref.number

    @property
    def identity(self) -> bytes:
        return self.ref.identity

    @property
    def rows(self) -> int:
        return self.ref.total_rows


def memory_bytes(request: EncodeRequest) -> int:
    """The memory that a request takes, roughly: of a small one, mostly the objects that hold it."""
    return len(request.payload) + OBJECTS_BYTES
