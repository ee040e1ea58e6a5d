"""The publisher: keep a reply until its client has a subscriber with room for it, up to a time limit.

Pure: replies, subscription events and the time go in, a list of actions comes out. No socket, process or clock; the
loop in `sink.py` performs the actions and reports the outcome of each `Publish`.

The replies of one identity keep their order. If a client never subscribes or never reads, the publisher discards its
reply at a limit, counts and logs it, and tells the ventilator. If an identity has had no subscriber for a while, it
tells the ventilator to drop the work for it. (Instead, 1.10 slept 0.1 s before every reply, to let new subscriptions
arrive.)

ZeroMQ matches topics by prefix, so a subscription to `a` would receive the replies of every identity that begins with
`a`. No identity of at least SAFE_TOPIC_BYTES is a prefix of another by chance. If a shorter identity is the beginning
of another, the publisher disconnects its readers before publishing the other's reply. From then on the identity is
*guessable*: its reconnecting readers get the exact topic of their identity instead (docs/adr/0020).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice

from ..protocol.ring import ClientGone, Published
from ..protocol.wire import MAX_IDENTITY_BYTES, SAFE_TOPIC_BYTES, exact_topic, format_identity
from .events import (
    AcceptSubscription,
    Action,
    CutOffReaders,
    CutOffSlowReaders,
    LogWarning,
    Publish,
    SendFeedback,
)
from .invariants import check
from .limits import DEFAULT_LIMITS, SinkLimits
from .replies import Reply
from .unread_quotas import UnreadQuotas

RETRIED_AT_ONCE = 100
"""Identities with a full queue that are tried again in a tick, or looked at for one whose reply is to be discarded. A
connection that does not read can block a thousand."""

REPORTED_AT_ONCE = 500
"""Identities that are reported as gone in a tick."""

DISCARDED_AT_ONCE = 200
"""Replies that are discarded in a tick because nobody has subscribed to them: each is a line of the log."""


@dataclass(slots=True)
class _Outbox:
    """The outbox of one identity: the number of its subscriptions, and the waiting replies with their times.

    Only the head of `waiting` is sent; it leaves when it is `Sent` or discarded. An outbox is `lossy` from its first
    forced `Publish` to its next subscription. ZeroMQ silently skips a subscriber with a full queue, so it is unknown
    whether a reply reached its reader, and it counts as discarded.
    """

    subscribers: int = 0
    waiting: deque[tuple[float, Reply]] = field(default_factory=deque)
    waiting_bytes: int = 0
    lossy: bool = False

    @property
    def head(self) -> Reply:
        """The next reply to send."""
        return self.waiting[0][1]

    @property
    def head_since(self) -> float:
        """The time when the head was posted."""
        return self.waiting[0][0]


class Publisher:
    """The waiting replies, and the subscribers of each identity. For the sink's thread only.

    Attributes:
        discarded: number of replies that nobody read, or that might not have reached their reader.
        quotas: the quotas of principals, or None without keys.
    """

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.discarded = 0
        self.quotas: UnreadQuotas | None = None
        self._unread_s = limits.unread_s
        # Every identity that has a subscriber or a waiting reply.
        self._outboxes: dict[bytes, _Outbox] = {}
        # Identities with replies but no subscriber. The first has waited longest, or nearly.
        self._without_subscriber: OrderedDict[bytes, None] = OrderedDict()
        # The times since when identities have had no subscriber, oldest first, until the ventilator is told.
        self._departed: OrderedDict[bytes, float] = OrderedDict()
        # The times since when the queue of a subscriber of an identity has been full. The first is tried next.
        self._blocked: OrderedDict[bytes, float] = OrderedDict()
        # Short identities, whose subscribers would receive the replies of longer ones with the same beginning.
        self._short: set[bytes] = set()
        # Short identities that were the beginning of another, in the order of discovery.
        self._guessable: OrderedDict[bytes, None] = OrderedDict()
        self._waiting = 0
        self._waiting_bytes = 0
        self._subscribed = 0

    @property
    def waiting_replies(self) -> int:
        """The number of replies that wait for a subscriber, or for room in its queue."""
        return self._waiting

    @property
    def is_blocked(self) -> bool:
        """Whether a subscriber's queue is full, so that a `Tick` should come soon."""
        return bool(self._blocked)

    def post(self, reply: Reply, now: float) -> list[Action]:
        """Take `reply`, and publish it as soon as its client can receive it."""
        if self.quotas is not None:
            reply = self.quotas.put(reply)
        outbox = self._outboxes.get(reply.identity)
        if outbox is None:
            outbox = self._outboxes[reply.identity] = _Outbox()
        outbox.waiting.append((now, reply))
        outbox.waiting_bytes += reply.size
        self._waiting += 1
        self._waiting_bytes += reply.size
        if outbox.subscribers and len(outbox.waiting) == 1:
            return self._publish(outbox)
        if not outbox.subscribers:
            self._without_subscriber[reply.identity] = None
        return self._shed_unread(reply.identity, outbox, now) + self._shed_load()

    def sent(self, reply: Reply) -> list[Action]:
        """Handle the success of a `Publish`."""
        outbox = self._outboxes[reply.identity]
        self._blocked.pop(reply.identity, None)
        self._pop_head(outbox)
        self.discarded += outbox.lossy
        actions: list[Action] = []
        if reply.number is not None:
            actions.append(SendFeedback(Published(reply.number, reply.answered and not outbox.lossy)))
        if outbox.waiting:
            actions += self._publish_head(reply.identity, outbox)
        else:
            self._remove_if_unused(reply.identity, outbox)
        return actions

    def blocked(self, reply: Reply, now: float) -> list[Action]:
        """Handle the failure of a `Publish`."""
        self._blocked.setdefault(reply.identity, now)
        return self._shed_load()

    def subscribe(self, topic: bytes) -> list[Action]:
        """Handle a subscription to `topic`: accept it unless a limit forbids it."""
        refusal = self._refusal(topic)
        if refusal:
            return [LogWarning(refusal)]
        outbox = self._outboxes.setdefault(topic, _Outbox())
        self._subscribed += not outbox.subscribers
        outbox.subscribers += 1
        outbox.lossy = False
        self._without_subscriber.pop(topic, None)
        self._departed.pop(topic, None)
        if len(topic) >= SAFE_TOPIC_BYTES:
            granted = topic
        elif topic in self._guessable:
            granted = exact_topic(topic)
        else:
            self._short.add(topic)
            granted = topic
        return [AcceptSubscription(granted), *self._publish_head(topic, outbox)]

    def unsubscribe(self, topic: bytes, now: float) -> list[Action]:
        """Handle the end of a subscription to `topic`."""
        outbox = self._outboxes.get(topic)
        if outbox is None or not outbox.subscribers:  # ZeroMQ also reports the end of a refused subscription
            return []
        outbox.subscribers -= 1
        if outbox.subscribers:
            return []
        self._subscribed -= 1
        self._short.discard(topic)
        self._blocked.pop(topic, None)
        self._note_departure(topic, now)
        if outbox.waiting:
            self._without_subscriber[topic] = None
        self._remove_if_unused(topic, outbox)
        return self._shed_load()

    def expect(self, identity: bytes, now: float) -> None:
        """Expect a reply to `identity`, whose last subscriber might have left before the sink heard of the request."""
        if not self._has_subscriber(identity):
            self._note_departure(identity, now)

    def drain(self) -> None:
        """Wait less long for subscribers from now on."""
        self._unread_s = min(self._unread_s, self.limits.unread_s_at_the_end)

    def tick(self, now: float) -> list[Action]:
        """Retry blocked replies, discard expired ones, and report departed identities."""
        return self._retry(now) + self._discard_expired(now) + self._report_departed(now)

    def check_invariants(self) -> None:
        """Raise AssertionError if the state is inconsistent. For tests, after all actions were performed."""
        limits = self.limits
        subscribed = {identity for identity, outbox in self._outboxes.items() if outbox.subscribers}
        having = {identity for identity, outbox in self._outboxes.items() if outbox.waiting}
        check(set(self._outboxes) == subscribed | having, 'an outbox is kept for nothing')
        check(self._subscribed == len(subscribed), 'the identities with subscribers are miscounted')
        check(self._subscribed <= limits.subscribed_identities, 'too many identities have subscribers')
        check(not subscribed & self._departed.keys(), 'an identity with a subscriber has departed')
        check(list(self._departed.values()) == sorted(self._departed.values()), 'the departed are out of order')
        short = {identity for identity in subscribed if len(identity) < SAFE_TOPIC_BYTES}
        check(self._short == short - self._guessable.keys(), 'a short identity is not known to be one')
        check(len(self._guessable) <= limits.guessable_identities, 'too many guessable identities are remembered')
        check(len(self._departed) <= limits.departed_identities, 'too many departed identities are remembered')
        check(self._without_subscriber.keys() == having - subscribed, 'a reply is not known to have no subscriber')
        check(len(self._without_subscriber) <= limits.identities_without_subscriber, 'too many clients are waited for')
        check(self._blocked.keys() == having & subscribed, 'a reply waits though its subscribers have room')
        self._check_replies()

    def _check_replies(self) -> None:
        waiting = [reply for outbox in self._outboxes.values() for _since, reply in outbox.waiting]
        numbers = [reply.number for reply in waiting if reply.number is not None]
        check(len(set(numbers)) == len(numbers), 'two replies to one request wait')
        check(self._waiting == len(waiting) <= self.limits.unread_replies, 'too many replies wait, or are miscounted')
        size = sum(reply.size for reply in waiting)
        check(self._waiting_bytes == size <= self.limits.unread_bytes, 'too many bytes wait, or are miscounted')
        for identity, outbox in self._outboxes.items():
            times = [since for since, _reply in outbox.waiting]
            check(times == sorted(times), 'the replies of an identity are out of order')
            held = sum(reply.size for _since, reply in outbox.waiting)
            check(outbox.waiting_bytes == held, 'the bytes of an identity are miscounted')
            check(all(reply.identity == identity for _since, reply in outbox.waiting), 'a reply is in a wrong outbox')

    # ---- subscriptions

    def _refusal(self, topic: bytes) -> str | None:
        """Return why a subscription is refused, or None if it is accepted."""
        if not topic:
            return 'refused an empty subscription: it would receive the replies of every client'
        if len(topic) > MAX_IDENTITY_BYTES:
            return 'refused a subscription of %d bytes: an identity has at most %d' % (len(topic), MAX_IDENTITY_BYTES)
        if self._subscribed >= self.limits.subscribed_identities and not self._has_subscriber(topic):
            return 'refused a subscription: %d identities have subscribers already' % self._subscribed
        return None

    def _has_subscriber(self, identity: bytes) -> bool:
        outbox = self._outboxes.get(identity)
        return outbox is not None and outbox.subscribers > 0

    def _note_departure(self, identity: bytes, now: float) -> None:
        """Record the time when an identity lost its last subscriber. Beyond the limit, forget the oldest."""
        self._departed.setdefault(identity, now)
        if len(self._departed) > self.limits.departed_identities:
            self._departed.popitem(last=False)

    def _report_departed(self, now: float) -> list[Action]:
        actions: list[Action] = []
        while self._departed and len(actions) < REPORTED_AT_ONCE:
            identity, since = next(iter(self._departed.items()))
            if now - since < self.limits.gone_s:
                break
            del self._departed[identity]
            actions.append(SendFeedback(ClientGone(identity, now - since)))
        return actions

    # ---- replies

    def _publish_head(self, identity: bytes, outbox: _Outbox) -> list[Action]:
        if outbox.subscribers and outbox.waiting and identity not in self._blocked:
            return self._publish(outbox)
        return []

    def _publish(self, outbox: _Outbox) -> list[Action]:
        """Send the head of an outbox, after disconnecting subscribers of other identities that would receive it."""
        reply = outbox.head
        if not self._short and not self._guessable:
            return [Publish(reply, force=outbox.lossy)]
        topic = exact_topic(reply.identity) if reply.identity in self._guessable else None
        strangers = self._find_strangers(reply.identity if topic is None else topic, reply.identity)
        actions: list[Action] = []
        for stranger in strangers:
            self._short.discard(stranger)
            self._guessable[stranger] = None
            actions += [
                LogWarning(
                    'closed the connections of %s: its identity is the beginning of another, so it must subscribe to '
                    'its exact topic' % format_identity(stranger)
                ),
                CutOffReaders(stranger),
            ]
        while len(self._guessable) > self.limits.guessable_identities:
            forgotten, _ = self._guessable.popitem(last=False)
            actions.append(CutOffReaders(forgotten))  # they subscribe to its exact topic
        return [*actions, Publish(reply, outbox.lossy, topic)]

    def _find_strangers(self, topic: bytes, identity: bytes) -> list[bytes]:
        """The identities other than `identity` whose subscribers would receive messages of `topic`."""
        beginnings = (topic[:length] for length in range(1, min(len(topic), SAFE_TOPIC_BYTES)))
        return [beginning for beginning in beginnings if beginning in self._short and beginning != identity]

    def _retry(self, now: float) -> list[Action]:
        """Retry blocked replies, with force if they have been blocked for too long."""
        actions: list[Action] = []
        # In order: the reply to an identity before that of another which begins with it, and cuts off its readers.
        for identity, since in sorted(islice(self._blocked.items(), RETRIED_AT_ONCE)):
            self._blocked.move_to_end(identity)
            outbox, blocked_s = self._outboxes[identity], now - since
            slow = self._shed_unread(identity, outbox, now)
            if slow:
                actions += slow
                continue
            if blocked_s >= self.limits.unread_s:
                outbox.lossy = True
                warning = 'subscriber %s has not read for %g s; its replies may be dropped'
                actions.append(LogWarning(warning % (format_identity(identity), blocked_s)))
            actions += self._publish(outbox)
        return actions

    # ---- replies that are discarded

    def _discard_expired(self, now: float) -> list[Action]:
        """Discard the replies that have waited too long for a subscriber."""
        actions: list[Action] = []
        left = DISCARDED_AT_ONCE
        while self._without_subscriber and left:
            identity = next(iter(self._without_subscriber))
            outbox = self._outboxes[identity]
            if now - outbox.head_since < self._unread_s:
                break
            while outbox.waiting and now - outbox.head_since >= self._unread_s and left:
                left -= 1
                why = 'no client has subscribed to it for %g s' % self._unread_s
                actions += self._discard_head(identity, outbox, why)
            if outbox.waiting:  # other clients must not wait for them
                self._without_subscriber.move_to_end(identity)
        return actions

    def _shed_unread(self, identity: bytes, outbox: _Outbox, now: float) -> list[Action]:
        """Disconnect the slow readers of an identity with too many unread bytes, or discard the oldest replies."""
        actions: list[Action] = []
        limits = self.limits
        while outbox.waiting_bytes > limits.unread_bytes_of_identity and len(outbox.waiting) > 1:
            if outbox.subscribers:
                if now - self._blocked.get(identity, now) >= limits.slow_s:
                    warning = 'closed the connections of %s: it left %d bytes of its replies unread'
                    actions.append(LogWarning(warning % (format_identity(identity), outbox.waiting_bytes)))
                    actions.append(CutOffSlowReaders(identity))
                break
            why = 'it has more than %d bytes unread' % limits.unread_bytes_of_identity
            actions += self._discard_head(identity, outbox, why)
        return actions

    def _shed_load(self) -> list[Action]:
        """Discard the oldest replies while the waiting ones are too many or too large."""
        actions: list[Action] = []
        limits = self.limits
        while len(self._without_subscriber) > limits.identities_without_subscriber:
            why = 'replies to more than %d clients wait for a subscriber' % limits.identities_without_subscriber
            identity = next(iter(self._without_subscriber))
            actions += self._discard_head(identity, self._outboxes[identity], why)
        while self._waiting > limits.unread_replies or self._waiting_bytes > limits.unread_bytes:
            why = 'more than %d replies or %d bytes wait' % (limits.unread_replies, limits.unread_bytes)
            # All other outboxes are just sending their replies.
            candidates = [*islice(self._blocked, RETRIED_AT_ONCE), *islice(self._without_subscriber, 1)]
            if not candidates:
                break
            identity = max(candidates, key=self._burden)
            actions += self._discard_head(identity, self._outboxes[identity], why)
        return actions

    def _burden(self, identity: bytes) -> tuple[bool, float]:
        """The order of identities for discarding: first one with half of the bytes, otherwise the oldest."""
        outbox = self._outboxes[identity]
        return outbox.waiting_bytes > self.limits.unread_bytes // 2, -outbox.head_since

    def _discard_head(self, identity: bytes, outbox: _Outbox, why: str) -> list[Action]:
        reply = self._pop_head(outbox)
        self.discarded += 1
        if not outbox.waiting:
            self._blocked.pop(identity, None)
        self._remove_if_unused(identity, outbox)
        actions: list[Action] = [LogWarning('discarded a reply to %s: %s' % (format_identity(identity), why))]
        if reply.number is not None:
            actions.append(SendFeedback(Published(reply.number, False)))
        return actions

    def _pop_head(self, outbox: _Outbox) -> Reply:
        _since, reply = outbox.waiting.popleft()
        if self.quotas is not None:
            self.quotas.take(reply)
        outbox.waiting_bytes -= reply.size
        self._waiting -= 1
        self._waiting_bytes -= reply.size
        return reply

    def _remove_if_unused(self, identity: bytes, outbox: _Outbox) -> None:
        if not outbox.waiting:
            self._without_subscriber.pop(identity, None)
            if not outbox.subscribers:
                del self._outboxes[identity]
