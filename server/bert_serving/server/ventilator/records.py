"""The scheduler's record of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from ..errors import RequestError
from ..protocol.options import NO_OPTIONS, Options
from ..protocol.ring import Job, RequestRef
from ..protocol.wire import EncodeRequest
from .stories import Story

OBJECTS_BYTES = 4096
"""The memory of a request with one job, in addition to its message."""

MAX_DIGESTED_BYTES = 1 << 20
"""The largest message of which a cryptographic digest is made."""

Key = tuple[bytes, bytes, bytes, Options | None]
"""Identity, request id, digest of the message, and options or None.

Two requests with the same key are the same request, sent again.
"""


@dataclass(slots=True, weakref_slot=True)
class RequestRecord:
    """An accepted, unfinished request."""

    ref: RequestRef
    key: Key
    memory_bytes: int
    """The result of the function with this name."""
    jobs: list[Job]
    """The jobs by part, each in its last attempt, as a new worker or a new sink might need them.

    Of a request that is being split, those of its beginning.
    """
    arrived_at: float
    last_seen_at: float
    """The time of its last arrival, because a reconnected client sends it again."""
    collected: set[int] = field(default_factory=set)
    """The parts that the sink has."""
    strikes: float = 0
    """The number of workers and sinks that died while they held only this request. A lost machine counts less."""
    refusal: RequestError | None = None
    """The error reply to the request, if it gets one."""
    story: Story | None = None
    """The events of the request, if any was unusual."""

    def note(self, now: float, event: str) -> None:
        """Add an unusual event, or an event after one, to the story of the request."""
        if self.story is None:
            self.story = Story(self.ref, self.arrived_at)
        self.story.add(now, event)

    @property
    def is_collected(self) -> bool:
        """Whether the sink has all of its parts."""
        return len(self.collected) == self.ref.parts

    @property
    def number(self) -> int:
        return self.ref.number

    @property
    def identity(self) -> bytes:
        return self.ref.identity

    @property
    def rows(self) -> int:
        return self.ref.total_rows


def key_of(request: EncodeRequest) -> Key:
    """The key of a request."""
    digest = _digest_of(request.payload)
    options = None if request.options is NO_OPTIONS else request.options  # None has its hash in a tenth of the time
    return request.identity, request.request_id, digest, options


def _digest_of(payload: bytes) -> bytes:
    """Of a large message it is Python's own hash, five times as fast; nobody gains by mixing up his own requests."""
    if len(payload) > MAX_DIGESTED_BYTES:
        return b'%d' % hash(payload)
    return blake2b(payload, digest_size=16).digest()


def memory_bytes(request: EncodeRequest) -> int:
    """Estimate the memory of a request. For a small one it is mostly the Python objects."""
    return len(request.payload) + OBJECTS_BYTES
