"""What the sink decides: when a request is complete, what is published to whom and when, what is given up.

Pure: typed messages, subscription events and the time go in, a list of actions comes out. No socket, process or
clock; the loop in `sink.py` does what the actions say and reports how a `Publish` went.

Parts may come in any order, twice, and before their registration. A finished answer waits until its identity has a
subscriber (1.10 slept 0.1 s for everybody instead), and the answers of one identity keep their order. An answer whose
client never subscribes, or never reads, is given up after a bound, counted and reported: nothing vanishes silently. When
the last subscriber of an identity has been away for a while, the ventilator is told to drop what it still computes for it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .errors import InternalError, TooLarge
from .wire import (
    MAX_IDENTITY_BYTES,
    Answer,
    Buffer,
    Collected,
    Drain,
    Drop,
    DroppedPart,
    FailedPart,
    Gone,
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


Event = (
    Part | FailedPart | DroppedPart | Register | Refuse | Status | Drop | Drain | Subscribed | Unsubscribed | Sent
    | Blocked | Tick
)  # fmt: skip

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
    unread_replies: int = 100_000
    """Answers that wait; beyond it the oldest are given up. Errors are small, but each takes some kilobytes of memory."""
    unread_bytes: int = 1 << 30
    """Bytes of all answers that wait; beyond it the oldest are given up."""
    unclaimed_identities: int = 10_000
    """Identities without a subscriber for which answers wait; beyond it the oldest are given up. Errors to what made up its
    identity are small, but many."""
    subscribed_identities: int = 100_000
    """Identities that have subscribers; one more is refused."""
    open_bytes: int = 4 << 30
    """Bytes of parts that wait for others of their request; beyond it the largest request is answered with an error."""
    gone_s: float = 20.0
    """How long an identity may have no subscriber before the work for it is dropped."""
    left_identities: int = 100_000
    """Identities that are remembered to have been left; of one that is not, the work is done for nobody."""
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
    bytes: int = 0


@dataclass(slots=True)
class _Mailbox:
    """One identity: how many connections subscribe to it, and which replies wait for them, since when.

    Only the head of `waiting` is ever being sent; it leaves when it is `Sent` or given up. A mailbox is `lossy` from the
    first forced `Publish` to the next subscription: from then on ZeroMQ passes over the connection that is full without a
    word, so nobody can tell whether an answer reached its reader, and it counts as given up.
    """

    subscribers: int = 0
    waiting: deque[tuple[float, Reply]] = field(default_factory=deque)
    lossy: bool = False


class Assembler:
    """The requests that are being put together, and the replies that wait. Used by the sink's one thread."""

    def __init__(self, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self.bounds = bounds
        self._open: dict[int, _Assembly] = {}
        self._finished: set[int] = set()
        self._finished_order: deque[int] = deque()
        self._mailboxes: dict[bytes, _Mailbox] = {}
        self._unclaimed: OrderedDict[bytes, None] = (
            OrderedDict()
        )  # identities with answers and no subscriber, oldest first
        self._left: OrderedDict[bytes, float] = OrderedDict()  # since when an identity has no subscriber
        self._waiting = 0
        self._open_bytes = 0
        self._subscribed = 0
        self._waiting_bytes = 0
        self._unread_s = bounds.unread_s
        self._blocked: dict[bytes, float] = {}  # since when a reader's queue is full
        self.given_up = 0
        """Replies that nobody read, or that may not have reached their reader."""

    @property
    def open_requests(self) -> int:
        """Requests of which parts are still to come."""
        return len(self._open)

    @property
    def waiting_replies(self) -> int:
        """Replies that wait for a subscriber, or for room in its queue."""
        return self._waiting

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
            case DroppedPart(worker, header):
                yield Tell(Collected(worker, header.number, header.part, header.attempt))
            case Drop(number):
                self._finish(number)
            case Register(number, parts, total_rows, identity, request_id):
                self._assembly(number, parts, total_rows, identity, request_id)
                if not self._has_subscriber(identity):  # it may have left the sink before this one
                    self._miss(identity, now)
            case Refuse(identity, request_id, error, number):
                if number not in self._finished:  # of two answers, the second would be none
                    if number:
                        self._finish(number)
                    yield from self._post(
                        identity, encode_error(identity, request_id, error), number or None, False, now
                    )
            case Status(identity, request_id, body):
                yield from self._post(identity, encode_status(identity, request_id, body), None, True, now)
            case Subscribed(topic):
                yield from self._subscribe(topic)
            case Unsubscribed(topic):
                self._unsubscribe(topic, now)
            case Sent(reply):
                yield from self._sent(reply)
            case Blocked(reply):
                yield from self._hold_back(reply, now)
            case Drain():
                self._unread_s = min(self._unread_s, self.bounds.unread_s_at_the_end)
            case _:
                yield from self._pass_time(now)

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
        assembly.bytes += len(part.answer.body)
        self._open_bytes += len(part.answer.body)
        if len(assembly.received) == assembly.parts:
            yield from self._complete(header.number, assembly, now)
        elif self._open_bytes > self.bounds.open_bytes:
            yield from self._give_largest_up(now)

    def _give_largest_up(self, now: float) -> Iterator[Action]:
        number = max(self._open, key=lambda number: self._open[number].bytes)
        assembly = self._open[number]
        fault = TooLarge('the answers that are being put together have more than %d bytes, and this one, of %d rows, has '
                         'most of them: send it in parts' % (self.bounds.open_bytes, assembly.total_rows))  # fmt: skip
        yield Complain('a request of %s was given up: %s' % (show_identity(assembly.identity), fault.message))
        self._finish(number)
        frames = encode_error(assembly.identity, assembly.request_id, fault)
        yield from self._post(assembly.identity, frames, number, False, now)

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
        assembly = self._open.pop(number, None)
        if assembly is not None:
            self._open_bytes -= assembly.bytes
        if number in self._finished:
            return
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
        self._waiting += 1
        self._waiting_bytes += reply.size
        if box.subscribers and len(box.waiting) == 1:
            yield Publish(reply, force=box.lossy)
            return
        if not box.subscribers:
            self._unclaimed[identity] = None
        yield from self._shed()

    def _subscribe(self, topic: bytes) -> Iterator[Action]:
        if not topic:
            yield Complain('an empty subscription, which would read the answers of everybody, was refused')
            return
        if len(topic) > MAX_IDENTITY_BYTES:
            yield Complain('a subscription of %d bytes was refused: no identity is longer than %d'
                           % (len(topic), MAX_IDENTITY_BYTES))  # fmt: skip
            return
        if self._subscribed >= self.bounds.subscribed_identities and not self._has_subscriber(topic):
            yield Complain('a subscription was refused: %d identities have subscribers already' % self._subscribed)
            return
        yield Grant(topic)
        self._subscribed += not self._has_subscriber(topic)
        box = self._mailboxes.setdefault(topic, _Mailbox())
        box.subscribers += 1
        box.lossy = False
        self._unclaimed.pop(topic, None)
        self._left.pop(topic, None)
        yield from self._publish_head(box)

    def _unsubscribe(self, topic: bytes, now: float) -> None:
        box = self._mailboxes.get(topic)
        if box is None or not box.subscribers:
            return
        box.subscribers -= 1
        if not box.subscribers:
            self._subscribed -= 1
            self._blocked.pop(topic, None)
            self._miss(topic, now)
            if box.waiting:
                self._unclaimed[topic] = None
        self._discard_if_unused(topic, box)

    def _has_subscriber(self, identity: bytes) -> bool:
        box = self._mailboxes.get(identity)
        return box is not None and box.subscribers > 0

    def _miss(self, identity: bytes, now: float) -> None:
        """Note since when an identity has no subscriber; beyond the bound, the one that has been missed longest is not."""
        self._left.setdefault(identity, now)
        if len(self._left) > self.bounds.left_identities:
            self._left.popitem(last=False)

    def _sent(self, reply: Reply) -> Iterator[Action]:
        box = self._mailboxes[reply.identity]
        self._blocked.pop(reply.identity, None)
        self._drop_head(box)
        self.given_up += box.lossy
        if reply.number is not None:
            yield Tell(Published(reply.number, reply.answered and not box.lossy))
        yield from self._publish_head(box)
        self._discard_if_unused(reply.identity, box)

    def _hold_back(self, reply: Reply, now: float) -> Iterator[Action]:
        self._blocked.setdefault(reply.identity, now)
        yield from self._shed()

    def _publish_head(self, box: _Mailbox) -> Iterator[Action]:
        if box.subscribers and box.waiting and box.waiting[0][1].identity not in self._blocked:
            yield Publish(box.waiting[0][1], force=box.lossy)

    def _drop_head(self, box: _Mailbox) -> Reply:
        _since, reply = box.waiting.popleft()
        self._waiting -= 1
        self._waiting_bytes -= reply.size
        return reply

    def _discard_if_unused(self, identity: bytes, box: _Mailbox) -> None:
        if not box.waiting:
            self._unclaimed.pop(identity, None)
            if not box.subscribers:
                self._blocked.pop(identity, None)
                del self._mailboxes[identity]

    def _pass_time(self, now: float) -> Iterator[Action]:
        for identity in sorted(self._blocked):
            yield from self._retry(identity, self._mailboxes[identity], now - self._blocked[identity])
        while self._unclaimed:  # the first has waited longest, or nearly
            identity = next(iter(self._unclaimed))
            box = self._mailboxes[identity]
            if now - box.waiting[0][0] < self._unread_s:
                break
            yield from self._give_up(box, 'no client has subscribed to it for %g s' % self._unread_s)
            if identity in self._unclaimed:  # what is behind it must not wait for all of its answers
                self._unclaimed.move_to_end(identity)
        while self._left:
            identity, since = next(iter(self._left.items()))
            if now - since < self.bounds.gone_s:
                break
            del self._left[identity]
            yield Tell(Gone(identity, now - since))

    def _retry(self, identity: bytes, box: _Mailbox, blocked_s: float) -> Iterator[Action]:
        if blocked_s >= self.bounds.unread_s:
            box.lossy = True
            yield Complain('a reader of %s has taken nothing for %g s: from now on it may lose answers'
                           % (show_identity(identity), blocked_s))  # fmt: skip
        yield Publish(box.waiting[0][1], force=box.lossy)

    def _shed(self) -> Iterator[Action]:
        """Give the oldest replies up while those that wait are too many or too large to be kept."""
        while len(self._unclaimed) > self.bounds.unclaimed_identities:
            box = self._mailboxes[next(iter(self._unclaimed))]
            yield from self._give_up(box, 'answers to more than %d identities wait for a subscriber'
                                     % self.bounds.unclaimed_identities)  # fmt: skip
        while self._waiting > self.bounds.unread_replies or self._waiting_bytes > self.bounds.unread_bytes:
            # Any other reply that waits is the head of a box that is just being published.
            candidates = [self._mailboxes[identity] for identity in self._blocked]
            candidates += [self._mailboxes[identity] for identity in islice(self._unclaimed, 1)]
            oldest = min(candidates, key=lambda box: box.waiting[0][0])
            yield from self._give_up(oldest, 'more than %d answers or %d bytes of answers wait unread'
                                     % (self.bounds.unread_replies, self.bounds.unread_bytes))  # fmt: skip

    def _give_up(self, box: _Mailbox, why: str) -> Iterator[Action]:
        reply = self._drop_head(box)
        self.given_up += 1
        if not box.waiting:
            self._blocked.pop(reply.identity, None)
        yield Complain('an answer to %s was given up: %s' % (show_identity(reply.identity), why))
        if reply.number is not None:
            yield Tell(Published(reply.number, False))
        self._discard_if_unused(reply.identity, box)


def join_parts(parts: Sequence[Part], total_rows: int) -> Answer:
    """The parts of a request in the order of their rows, as one array of `total_rows` rows in C order.

    Token-level parts, [rows, t, D], or [rows, t] of token ids, are padded with zeros on axis 1 to the largest `width` of
    any part, which is what 1.10 answered. A single part that needs no padding is passed on without a copy.

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
    fixed = 2 if width else 1  # the first axis in which all parts must agree
    filled = 0
    for part in parts:
        answer, row = part.answer, part.header.first_row
        array = np.frombuffer(answer.body, np.dtype(answer.dtype)).reshape(answer.shape)
        if array.dtype != joined.dtype or answer.shape[fixed:] != shape[fixed:] or array.ndim != joined.ndim:
            raise ValueError('%s %s and %s %s' % (first.dtype, first.shape, answer.dtype, answer.shape))
        where = (slice(row, row + len(array)), slice(array.shape[1]) if width else slice(None))
        joined[where] = array
        filled += len(array)
    if filled != total_rows:
        raise ValueError('%d rows for a request of %d' % (filled, total_rows))
    in_order = [part.answer for part in sorted(parts, key=lambda part: part.header.first_row)]
    return Answer(
        first.dtype, shape, joined.reshape(-1).view(np.uint8).data,
        tokens=None if first.tokens is None else [row for answer in in_order for row in answer.tokens or []],
        token_counts=None if first.token_counts is None else [n for answer in in_order for n in answer.token_counts or []],
    )  # fmt: skip
