"""What the sink decides: when a request is complete, what is published to whom and when, what is given up.

Pure: typed messages, subscription events and the time go in, a list of actions comes out. No socket, process or
clock; the loop in `sink.py` does what the actions say and reports how a `Publish` went.

Parts may come in any order, twice, and before their registration. A finished answer waits until its identity has a
subscriber (1.10 slept 0.1 s for everybody instead), and the answers of one identity keep their order. An answer whose
client never subscribes, or never reads, is given up after a bound, counted and reported: nothing vanishes silently.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import InternalError
from .wire import (
    Answer,
    Buffer,
    Collected,
    Drain,
    FailedPart,
    Part,
    Published,
    Refuse,
    Register,
    SinkReport,
    Status,
    encode_error,
    encode_result,
    encode_status,
    show_identity,
)

# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client's connection has subscribed to `topic`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A client's connection has unsubscribed, or is gone."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """The reply of a `Publish` has been handed to the transport."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Blocked:
    """The reply of a `Publish` could not be sent: a subscriber's queue is full. It is tried again at the next `Tick`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = Part | FailedPart | Register | Refuse | Status | Drain | Subscribed | Unsubscribed | Sent | Blocked | Tick

# --- actions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """Frames for a client. `number` is the request that they finish, None if they finish none.

    `answered` is whether it is the answer that was asked for, and not an error.
    """

    identity: bytes
    frames: list[Buffer]
    number: int | None
    answered: bool
    size: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Let the connection that has just subscribed have `topic`; to be done before the next event is read."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """Send `reply`, then report `Sent` or `Blocked`.

    With `force`, send it to those who can take it and report `Sent`, though a full queue drops it.
    """

    reply: Reply
    force: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """Send `report` round the ring to the ventilator."""

    report: SinkReport


@dataclass(frozen=True, slots=True)
class Complain:
    """Write `text` to the log as a warning."""

    text: str


Action = Grant | Publish | Tell | Complain


# --- state -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how much the sink keeps for clients that do not read."""

    unread_s: float = 60.0
    """How long an answer waits for a subscriber, or for a subscriber's full queue to move."""
    unread_s_at_the_end: float = 2.0
    """How long it waits for a subscriber when the server is about to stop."""
    unread_bytes: int = 1 << 30
    """Bytes of all answers that wait; beyond it the oldest are given up."""
    finished_numbers: int = 100_000
    """How many finished requests are remembered, to know late duplicates of their parts."""


DEFAULT_BOUNDS = Bounds()


@dataclass(slots=True)
class _Assembly:
    """The parts of one request."""

    identity: bytes
    request_id: bytes
    total_rows: int
    parts: int
    received: dict[int, Part] = field(default_factory=dict)


@dataclass(slots=True)
class _Mailbox:
    """One identity: how many connections subscribe to it, and which replies wait for them, since when.

    Only the head of `waiting` is ever being sent; it leaves when it is `Sent` or given up. A mailbox is `lossy` from the
    first forced `Publish` to the next subscription: from then on ZeroMQ passes over the connection that is full without a
    word, so nobody can tell whether an answer reached its reader, and it counts as given up.
    """

    subscribers: int = 0
    waiting: deque[tuple[float, Reply]] = field(default_factory=deque)
    blocked_since: float | None = None
    lossy: bool = False


class Assembler:
    """The requests that are being put together, and the replies that wait. Used by the sink's one thread."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self.bounds = bounds
        self._open: dict[int, _Assembly] = {}
        self._finished: set[int] = set()
        self._finished_order: deque[int] = deque()
        self._mailboxes: dict[bytes, _Mailbox] = {}
        self._waiting_bytes = 0
        self._unread_s = bounds.unread_s
        self._blocked: set[bytes] = set()
        self.given_up = 0
        """Replies that nobody read, or that may not have reached their reader."""

    @property
    def open_requests(self) -> int:
        """Requests of which parts are still to come."""
        return len(self._open)

    @property
    def waiting_replies(self) -> int:
        """Replies that wait for a subscriber, or for room in its queue."""
        return sum(len(box.waiting) for box in self._mailboxes.values())

    @property
    def is_blocked(self) -> bool:
        """Whether a reader's queue is full, so that a `Tick` should come soon."""
        return bool(self._blocked)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event in; return what is to be done, in order."""
        return list(self._handle(event, now))

    def _handle(self, event: Event, now: float) -> Iterator[Action]:
        match event:
            case Part():
                yield from self._collect(event, now)
            case FailedPart():
                yield from self._fail(event, now)
            case Register(number, parts, total_rows, identity, request_id):
                self._assembly(number, parts, total_rows, identity, request_id)
            case Refuse(identity, request_id, error):
                yield from self._post(identity, encode_error(identity, request_id, error), None, False, now)
            case Status(identity, request_id, body):
                yield from self._post(identity, encode_status(identity, request_id, body), None, True, now)
            case Subscribed(topic):
                yield from self._subscribe(topic)
            case Unsubscribed(topic):
                self._unsubscribe(topic)
            case Sent(reply):
                yield from self._sent(reply)
            case Blocked(reply):
                yield from self._hold_back(reply, now)
            case Drain():
                self._unread_s = min(self._unread_s, self.bounds.unread_s_at_the_end)
            case _:
                yield from self._retry_and_expire(now)

    # Parts ---------------------------------------------------------------------------------------------------------

    def _assembly(
        self, number: int, parts: int, total_rows: int, identity: bytes, request_id: bytes
    ) -> _Assembly | None:
        """The open request of that number, opened if it is new; None if it is finished."""
        if number in self._finished:
            return None
        if number not in self._open:
            self._open[number] = _Assembly(identity, request_id, total_rows, parts)
        return self._open[number]

    def _collect(self, part: Part, now: float) -> Iterator[Action]:
        header = part.header
        yield Tell(Collected(part.worker, header.number, header.part, header.attempt))
        assembly = self._assembly(header.number, header.parts, header.total_rows, header.identity, header.request_id)
        if assembly is None or header.part in assembly.received:
            return
        assembly.received[header.part] = part
        if len(assembly.received) == assembly.parts:
            yield from self._complete(header.number, assembly, now)

    def _complete(self, number: int, assembly: _Assembly, now: float) -> Iterator[Action]:
        try:
            answer = join_parts(list(assembly.received.values()), assembly.total_rows)
        except (ValueError, MemoryError) as error:
            fault = InternalError('the parts of the request can not be put together: %s' % error)
            frames, answered = encode_error(assembly.identity, assembly.request_id, fault), False
        else:
            frames, answered = encode_result(assembly.identity, assembly.request_id, answer), True
        self._finish(number)
        yield from self._post(assembly.identity, frames, number, answered, now)

    def _fail(self, failed: FailedPart, now: float) -> Iterator[Action]:
        header = failed.header
        yield Tell(Collected(failed.worker, header.number, header.part, header.attempt))
        if header.number in self._finished:
            return
        self._finish(header.number)
        frames = encode_error(header.identity, header.request_id, failed.error)
        yield from self._post(header.identity, frames, header.number, False, now)

    def _finish(self, number: int) -> None:
        self._open.pop(number, None)
        self._finished.add(number)
        self._finished_order.append(number)
        if len(self._finished_order) > self.bounds.finished_numbers:
            self._finished.discard(self._finished_order.popleft())

    # Replies -------------------------------------------------------------------------------------------------------

    def _post(
        self, identity: bytes, frames: list[Buffer], number: int | None, answered: bool, now: float
    ) -> Iterator[Action]:
        reply = Reply(identity, frames, number, answered, sum(map(len, frames)))
        box = self._mailboxes.setdefault(identity, _Mailbox())
        box.waiting.append((now, reply))
        self._waiting_bytes += reply.size
        if box.subscribers and len(box.waiting) == 1:
            yield Publish(reply, force=box.lossy)
        else:
            yield from self._shed()

    def _subscribe(self, topic: bytes) -> Iterator[Action]:
        if not topic:
            yield Complain('an empty subscription, which would read the answers of everybody, was refused')
            return
        yield Grant(topic)
        box = self._mailboxes.setdefault(topic, _Mailbox())
        box.subscribers += 1
        box.lossy = False
        yield from self._publish_head(box)

    def _unsubscribe(self, topic: bytes) -> None:
        box = self._mailboxes.get(topic)
        if box is not None:
            box.subscribers = max(0, box.subscribers - 1)
            if not box.subscribers:
                self._unblock(topic, box)
            self._discard_if_unused(topic, box)

    def _sent(self, reply: Reply) -> Iterator[Action]:
        box = self._mailboxes[reply.identity]
        self._unblock(reply.identity, box)
        self._drop_head(box)
        self.given_up += box.lossy
        if reply.number is not None:
            yield Tell(Published(reply.number, reply.answered and not box.lossy))
        yield from self._publish_head(box)
        self._discard_if_unused(reply.identity, box)

    def _hold_back(self, reply: Reply, now: float) -> Iterator[Action]:
        box = self._mailboxes[reply.identity]
        if box.blocked_since is None:
            box.blocked_since = now
            self._blocked.add(reply.identity)
        yield from self._shed()

    def _unblock(self, identity: bytes, box: _Mailbox) -> None:
        box.blocked_since = None
        self._blocked.discard(identity)

    def _publish_head(self, box: _Mailbox) -> Iterator[Action]:
        if box.subscribers and box.waiting and box.blocked_since is None:
            yield Publish(box.waiting[0][1], force=box.lossy)

    def _drop_head(self, box: _Mailbox) -> Reply:
        _since, reply = box.waiting.popleft()
        self._waiting_bytes -= reply.size
        return reply

    def _discard_if_unused(self, identity: bytes, box: _Mailbox) -> None:
        if not box.subscribers and not box.waiting:
            self._unblock(identity, box)
            del self._mailboxes[identity]

    def _retry_and_expire(self, now: float) -> Iterator[Action]:
        for identity, box in list(self._mailboxes.items()):
            if not box.subscribers:
                yield from self._expire(box, now)
            elif box.blocked_since is not None:
                yield from self._retry(identity, box, now - box.blocked_since)

    def _expire(self, box: _Mailbox, now: float) -> Iterator[Action]:
        while box.waiting and now - box.waiting[0][0] >= self._unread_s:
            yield from self._give_up(box, 'no client has subscribed to it for %g s' % self._unread_s)

    def _retry(self, identity: bytes, box: _Mailbox, blocked_s: float) -> Iterator[Action]:
        if blocked_s >= self.bounds.unread_s:
            box.lossy = True
            yield Complain('a reader of %s has taken nothing for %g s: from now on it may lose answers'
                           % (show_identity(identity), blocked_s))  # fmt: skip
        yield Publish(box.waiting[0][1], force=box.lossy)

    def _shed(self) -> Iterator[Action]:
        """Give the oldest replies up while all that wait are too large to be kept."""
        while self._waiting_bytes > self.bounds.unread_bytes:
            idle = [
                box
                for box in self._mailboxes.values()
                if box.waiting and (box.blocked_since is not None or not box.subscribers)
            ]
            oldest = min(idle, key=lambda box: box.waiting[0][0])
            yield from self._give_up(oldest, 'more than %d bytes of answers wait unread' % self.bounds.unread_bytes)

    def _give_up(self, box: _Mailbox, why: str) -> Iterator[Action]:
        reply = self._drop_head(box)
        self.given_up += 1
        if not box.waiting:
            self._unblock(reply.identity, box)
        yield Complain('an answer to %s was given up: %s' % (show_identity(reply.identity), why))
        if reply.number is not None:
            yield Tell(Published(reply.number, False))
        self._discard_if_unused(reply.identity, box)


def join_parts(parts: Sequence[Part], total_rows: int) -> Answer:
    """The parts of a request in the order of their rows, as one array of `total_rows` rows in C order.

    Token-level parts, [rows, t, D], are padded with zeros on axis 1 to the largest `width` of any part, which is what
    1.10 answered. A single part that needs no padding is passed on without a copy.

    Raises:
        ValueError: rows are missing, or the dtypes or shapes of the parts differ.
        MemoryError: the whole is too large.
    """
    first = parts[0].answer
    width = max(part.width for part in parts)
    shape = [total_rows, *first.shape[1:]]
    if width:
        shape[1] = width
    if len(parts) == 1 and first.shape == shape:
        return first
    joined: NDArray[np.generic] = np.zeros(shape, np.dtype(first.dtype))
    filled = 0
    for part in parts:
        answer, row = part.answer, part.header.first_row
        array = np.frombuffer(answer.body, np.dtype(answer.dtype)).reshape(answer.shape)
        if array.dtype != joined.dtype or answer.shape[-1] != shape[-1] or array.ndim != joined.ndim:
            raise ValueError('%s %s and %s %s' % (first.dtype, first.shape, answer.dtype, answer.shape))
        where = (slice(row, row + len(array)),) + ((slice(array.shape[1]),) if width else ())
        joined[where] = array
        filled += len(array)
    if filled != total_rows:
        raise ValueError('%d rows for a request of %d' % (filled, total_rows))
    return Answer(first.dtype, shape, joined.data.cast('B'), _join_tokens(parts))


def _join_tokens(parts: Sequence[Part]) -> list[list[str]] | None:
    if parts[0].answer.tokens is None:
        return None
    in_order = sorted(parts, key=lambda part: part.header.first_row)
    return [row for part in in_order for row in part.answer.tokens or []]
