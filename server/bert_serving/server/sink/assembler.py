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
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from ..errors import InternalError, TooLarge
from ..protocol.ring import (
    ClientGone,
    Collected,
    Drain,
    Drop,
    DroppedPart,
    FailedPart,
    Part,
    Published,
    Refuse,
    Register,
    RequestRef,
    Status,
)
from ..protocol.wire import MAX_IDENTITY_BYTES, Buffer, encode_error, encode_result, encode_status, format_identity
from .events import (
    AcceptSubscription,
    Action,
    Blocked,
    Event,
    LogWarning,
    Publish,
    Reply,
    SendFeedback,
    Sent,
    Subscribed,
    Unsubscribed,
)
from .joining import join_parts
from .limits import DEFAULT_LIMITS, SinkLimits


@dataclass(slots=True)
class _Assembly:
    """The parts of one request."""

    request: RequestRef
    received: dict[int, Part] = field(default_factory=dict)
    bytes: int = 0


@dataclass(slots=True)
class _Outbox:
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

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._open: dict[int, _Assembly] = {}
        self._finished: set[int] = set()
        self._finished_order: deque[int] = deque()
        self._outboxes: dict[bytes, _Outbox] = {}
        # Identities with answers and no subscriber, oldest first; and since when an identity has no subscriber.
        self._without_subscriber: OrderedDict[bytes, None] = OrderedDict()
        self._departed: OrderedDict[bytes, float] = OrderedDict()
        self._waiting = 0
        self._open_bytes = 0
        self._subscribed = 0
        self._waiting_bytes = 0
        self._unread_s = limits.unread_s
        self._blocked: dict[bytes, float] = {}  # since when a reader's queue is full
        self.discarded = 0
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
                yield SendFeedback(Collected(worker, header.request.number, header.part, header.attempt))
            case Drop(number):
                self._finish(number)
            case Register(request):
                self._assembly(request)
                if not self._has_subscriber(request.identity):  # it may have left the sink before this one
                    self._note_departure(request.identity, now)
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
                self._unread_s = min(self._unread_s, self.limits.unread_s_at_the_end)
            case _:
                yield from self._pass_time(now)

    # Parts ---------------------------------------------------------------------------------------------------------

    def _assembly(self, request: RequestRef) -> _Assembly | None:
        """The assembly of `request`, opened if it is new; None if it is finished."""
        if request.number in self._finished:
            return None
        if request.number not in self._open:
            self._open[request.number] = _Assembly(request)
        return self._open[request.number]

    def _collect(self, part: Part, now: float) -> Iterator[Action]:
        header = part.header
        yield SendFeedback(Collected(part.worker, header.request.number, header.part, header.attempt))
        assembly = self._assembly(header.request)
        if assembly is None or header.part in assembly.received:
            return
        assembly.received[header.part] = part
        assembly.bytes += len(part.answer.body)
        self._open_bytes += len(part.answer.body)
        if len(assembly.received) == assembly.request.parts:
            yield from self._complete(header.request.number, assembly, now)
        elif self._open_bytes > self.limits.open_bytes:
            yield from self._discard_largest(now)

    def _discard_largest(self, now: float) -> Iterator[Action]:
        number = max(self._open, key=lambda number: self._open[number].bytes)
        assembly = self._open[number]
        fault = TooLarge('the answers that are being put together have more than %d bytes, and this one, of %d rows, has '
                         'most of them: send it in parts' % (self.limits.open_bytes, assembly.request.total_rows))  # fmt: skip
        yield LogWarning(
            'a request of %s was given up: %s' % (format_identity(assembly.request.identity), fault.message)
        )
        self._finish(number)
        frames = encode_error(assembly.request.identity, assembly.request.request_id, fault)
        yield from self._post(assembly.request.identity, frames, number, False, now)

    def _complete(self, number: int, assembly: _Assembly, now: float) -> Iterator[Action]:
        try:
            answer = join_parts(list(assembly.received.values()), assembly.request.total_rows)
        except (ValueError, MemoryError) as error:
            fault = InternalError('the parts of the request cannot be put together: %s' % error)
            frames, answered = encode_error(assembly.request.identity, assembly.request.request_id, fault), False
        else:
            frames, answered = encode_result(assembly.request.identity, assembly.request.request_id, answer), True
        self._finish(number)
        yield from self._post(assembly.request.identity, frames, number, answered, now)

    def _fail(self, failed: FailedPart, now: float) -> Iterator[Action]:
        header = failed.header
        yield SendFeedback(Collected(failed.worker, header.request.number, header.part, header.attempt))
        if header.request.number in self._finished:
            return
        self._finish(header.request.number)
        frames = encode_error(header.request.identity, header.request.request_id, failed.error)
        yield from self._post(header.request.identity, frames, header.request.number, False, now)

    def _finish(self, number: int) -> None:
        assembly = self._open.pop(number, None)
        if assembly is not None:
            self._open_bytes -= assembly.bytes
        if number in self._finished:
            return
        self._finished.add(number)
        self._finished_order.append(number)
        if len(self._finished_order) > self.limits.finished_numbers:
            self._finished.discard(self._finished_order.popleft())

    # Replies -------------------------------------------------------------------------------------------------------

    def _post(
        self, identity: bytes, frames: list[Buffer], number: int | None, answered: bool, now: float
    ) -> Iterator[Action]:
        reply = Reply(identity, frames, number, answered, sum(map(len, frames)))
        box = self._outboxes.setdefault(identity, _Outbox())
        box.waiting.append((now, reply))
        self._waiting += 1
        self._waiting_bytes += reply.size
        if box.subscribers and len(box.waiting) == 1:
            yield Publish(reply, force=box.lossy)
            return
        if not box.subscribers:
            self._without_subscriber[identity] = None
        yield from self._shed_load()

    def _subscribe(self, topic: bytes) -> Iterator[Action]:
        if not topic:
            yield LogWarning('an empty subscription, which would read the answers of everybody, was refused')
            return
        if len(topic) > MAX_IDENTITY_BYTES:
            yield LogWarning('a subscription of %d bytes was refused: no identity is longer than %d'
                           % (len(topic), MAX_IDENTITY_BYTES))  # fmt: skip
            return
        if self._subscribed >= self.limits.subscribed_identities and not self._has_subscriber(topic):
            yield LogWarning('a subscription was refused: %d identities have subscribers already' % self._subscribed)
            return
        yield AcceptSubscription(topic)
        self._subscribed += not self._has_subscriber(topic)
        box = self._outboxes.setdefault(topic, _Outbox())
        box.subscribers += 1
        box.lossy = False
        self._without_subscriber.pop(topic, None)
        self._departed.pop(topic, None)
        yield from self._publish_head(box)

    def _unsubscribe(self, topic: bytes, now: float) -> None:
        box = self._outboxes.get(topic)
        if box is None or not box.subscribers:
            return
        box.subscribers -= 1
        if not box.subscribers:
            self._subscribed -= 1
            self._blocked.pop(topic, None)
            self._note_departure(topic, now)
            if box.waiting:
                self._without_subscriber[topic] = None
        self._discard_if_unused(topic, box)

    def _has_subscriber(self, identity: bytes) -> bool:
        box = self._outboxes.get(identity)
        return box is not None and box.subscribers > 0

    def _note_departure(self, identity: bytes, now: float) -> None:
        """Note since when an identity has no subscriber; beyond the bound, the one that has been missed longest is not."""
        self._departed.setdefault(identity, now)
        if len(self._departed) > self.limits.departed_identities:
            self._departed.popitem(last=False)

    def _sent(self, reply: Reply) -> Iterator[Action]:
        box = self._outboxes[reply.identity]
        self._blocked.pop(reply.identity, None)
        self._drop_head(box)
        self.discarded += box.lossy
        if reply.number is not None:
            yield SendFeedback(Published(reply.number, reply.answered and not box.lossy))
        yield from self._publish_head(box)
        self._discard_if_unused(reply.identity, box)

    def _hold_back(self, reply: Reply, now: float) -> Iterator[Action]:
        self._blocked.setdefault(reply.identity, now)
        yield from self._shed_load()

    def _publish_head(self, box: _Outbox) -> Iterator[Action]:
        if box.subscribers and box.waiting and box.waiting[0][1].identity not in self._blocked:
            yield Publish(box.waiting[0][1], force=box.lossy)

    def _drop_head(self, box: _Outbox) -> Reply:
        _since, reply = box.waiting.popleft()
        self._waiting -= 1
        self._waiting_bytes -= reply.size
        return reply

    def _discard_if_unused(self, identity: bytes, box: _Outbox) -> None:
        if not box.waiting:
            self._without_subscriber.pop(identity, None)
            if not box.subscribers:
                self._blocked.pop(identity, None)
                del self._outboxes[identity]

    def _pass_time(self, now: float) -> Iterator[Action]:
        for identity in sorted(self._blocked):
            yield from self._retry(identity, self._outboxes[identity], now - self._blocked[identity])
        while self._without_subscriber:  # the first has waited longest, or nearly
            identity = next(iter(self._without_subscriber))
            box = self._outboxes[identity]
            if now - box.waiting[0][0] < self._unread_s:
                break
            yield from self._discard(box, 'no client has subscribed to it for %g s' % self._unread_s)
            if identity in self._without_subscriber:  # what is behind it must not wait for all of its answers
                self._without_subscriber.move_to_end(identity)
        while self._departed:
            identity, since = next(iter(self._departed.items()))
            if now - since < self.limits.gone_s:
                break
            del self._departed[identity]
            yield SendFeedback(ClientGone(identity, now - since))

    def _retry(self, identity: bytes, box: _Outbox, blocked_s: float) -> Iterator[Action]:
        if blocked_s >= self.limits.unread_s:
            box.lossy = True
            yield LogWarning('a reader of %s has taken nothing for %g s: from now on it may lose answers'
                           % (format_identity(identity), blocked_s))  # fmt: skip
        yield Publish(box.waiting[0][1], force=box.lossy)

    def _shed_load(self) -> Iterator[Action]:
        """Give the oldest replies up while those that wait are too many or too large to be kept."""
        while len(self._without_subscriber) > self.limits.identities_without_subscriber:
            box = self._outboxes[next(iter(self._without_subscriber))]
            yield from self._discard(box, 'answers to more than %d identities wait for a subscriber'
                                     % self.limits.identities_without_subscriber)  # fmt: skip
        while self._waiting > self.limits.unread_replies or self._waiting_bytes > self.limits.unread_bytes:
            # Any other reply that waits is the head of a box that is just being published.
            candidates = [self._outboxes[identity] for identity in self._blocked]
            candidates += [self._outboxes[identity] for identity in islice(self._without_subscriber, 1)]
            oldest = min(candidates, key=lambda box: box.waiting[0][0])
            yield from self._discard(oldest, 'more than %d answers or %d bytes of answers wait unread'
                                     % (self.limits.unread_replies, self.limits.unread_bytes))  # fmt: skip

    def _discard(self, box: _Outbox, why: str) -> Iterator[Action]:
        reply = self._drop_head(box)
        self.discarded += 1
        if not box.waiting:
            self._blocked.pop(reply.identity, None)
        yield LogWarning('an answer to %s was given up: %s' % (format_identity(reply.identity), why))
        if reply.number is not None:
            yield SendFeedback(Published(reply.number, False))
        self._discard_if_unused(reply.identity, box)
