"""Random orders of everything that can happen to a sink."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bert_serving.server.errors import DeadlineExceeded, RequestError
from bert_serving.server.protocol.ring import (
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
from bert_serving.server.protocol.wire import MAX_IDENTITY_BYTES, exact_topic
from bert_serving.server.sink.decider import SinkDecider
from bert_serving.server.sink.events import (
    AcceptSubscription,
    Action,
    Blocked,
    CutOffReaders,
    CutOffSlowReaders,
    Event,
    LogWarning,
    Publish,
    SendFeedback,
    Sent,
    SpareTime,
    Subscribed,
    Tick,
    Unsubscribed,
)
from bert_serving.server.sink.limits import SinkLimits
from bert_serving.server.sink.publisher import Publisher
from bert_serving.server.sink.replies import Reply
from unit.sink_double import a_part, array_of

IDENTITIES = [b'a', b'ab', b'b']
"""A connection that subscribes to the first would read the replies of the second, too, by the rules of ZeroMQ."""

TOPICS = [*IDENTITIES, *IDENTITIES, b'', b'x' * (MAX_IDENTITY_BYTES + 1)]
ENDLESS = 1 << 30


@dataclass(eq=False)
class Connection:
    """One subscription of a client, which has room for so many replies until it reads."""

    topic: bytes
    room: int
    is_accepted: bool = False
    granted: bytes = b''


@dataclass
class Request:
    """A request that the ventilator has accepted."""

    ref: RequestRef
    parts: list[Part]
    unsent: list[Part]
    is_open: bool = False  # the sink has heard of it
    is_dropped: bool = False


class WatchedPublisher(Publisher):
    """A publisher that remembers every reply that it was given."""

    def __init__(self, limits: SinkLimits) -> None:
        super().__init__(limits)
        self.posted: list[Reply] = []

    def post(self, reply: Reply, now: float) -> list[Action]:
        self.posted.append(reply)
        return super().post(reply, now)


class SinkMachine(RuleBasedStateMachine):
    """A sink between an imaginary ventilator, workers and clients, in any order of events.

    At the end, when all parts have come and all clients read, each request that was not dropped has had one reply, with
    its rows or an error, and that has reached its client once, or was counted as discarded.
    """

    @initialize(
        unread_replies=st.sampled_from([100, 5, 1]),
        unread_bytes=st.sampled_from([10_000, 500, 100]),
        unread_bytes_of_identity=st.sampled_from([10_000, 300]),
        without_subscriber=st.integers(1, 3),
        subscribed=st.integers(1, 3),
        departed=st.integers(1, 3),
        open_bytes=st.sampled_from([1000, 30, 10]),
        slice_bytes=st.sampled_from([1000, 5]),
        readers=st.lists(st.tuples(st.sampled_from(IDENTITIES), st.integers(0, 2)), max_size=3),
    )
    def start(
        self,
        unread_replies: int,
        unread_bytes: int,
        unread_bytes_of_identity: int,
        without_subscriber: int,
        subscribed: int,
        departed: int,
        open_bytes: int,
        slice_bytes: int,
        readers: list[tuple[bytes, int]],
    ) -> None:
        self.limits = SinkLimits(
            unread_s=10,
            unread_s_at_the_end=2,
            unread_replies=unread_replies,
            unread_bytes=unread_bytes,
            unread_bytes_of_identity=unread_bytes_of_identity,
            slow_s=5,
            identities_without_subscriber=without_subscriber,
            subscribed_identities=subscribed,
            departed_identities=departed,
            open_bytes=open_bytes,
            slice_bytes=slice_bytes,
            gone_s=20,
        )
        self.decider = SinkDecider(self.limits)
        self.publisher = self.decider.publisher = WatchedPublisher(self.limits)
        self.now = 0.0
        self.unread_s = self.limits.unread_s
        self.unread_since = dict.fromkeys(IDENTITIES, 0.0)  # when the last subscriber left, or waits became shorter
        self.blocked_since: dict[bytes, float] = {}
        self.lossy: set[bytes] = set()
        self.departed: OrderedDict[bytes, float] = OrderedDict()
        self.connections: list[Connection] = []
        self.requests: dict[int, Request] = {}
        self.sent: list[Reply] = []
        self.forced: list[Reply] = []
        self.post_times: list[float] = []
        self.credit_due: Counter[Collected] = Counter()
        self.credit: Counter[Collected] = Counter()
        self.published: dict[int, bool] = {}
        self.discarded = 0
        self.too_large = 0
        for topic, room in readers:
            self.connect(topic, room)

    # ---- the sink's loop

    def tell(self, event: Event) -> list[Reply]:
        """Perform what follows from `event`; return the replies that the assembler made of it."""
        before = len(self.publisher.posted)
        actions = deque(self.decide(event))
        actions += self.join_all() if not actions else ()
        while actions:
            match actions.popleft():
                case Publish(reply, force, topic):
                    outcome = self.publish(reply, force, topic)
                    actions += self.decide(outcome)
                case AcceptSubscription(topic):
                    connection = self.connections[-1]
                    assert topic in (connection.topic, exact_topic(connection.topic))
                    connection.is_accepted, connection.granted = True, topic
                    self.lossy.discard(connection.topic)
                    self.departed.pop(connection.topic, None)
                case CutOffReaders(topic) | CutOffSlowReaders(topic):
                    for connection in self.subscribers_of(topic):
                        if self.forget(connection):
                            actions += self.decide(Unsubscribed(topic))
                case SendFeedback(Collected() | Published() as report):
                    self.hear(report)
                case LogWarning(text):
                    self.discarded += text.startswith('discarded a reply')
                    self.too_large += text.startswith('discarded a request')
            actions += self.join_all() if not actions else ()
        posted = self.publisher.posted[before:]
        self.post_times += [self.now] * len(posted)
        for reply in posted:
            self.check_reply(reply)
        for identity in self.blocked_since.keys() - {reply.identity for reply in self.waiting()}:
            del self.blocked_since[identity]  # all of its replies were discarded
        self.decider.check_invariants()
        self.check_places()
        return posted

    def join_all(self) -> list[Action]:
        actions: list[Action] = []
        while self.decider.is_joining:
            actions += self.decide(SpareTime())
        return actions

    def decide(self, event: Event) -> list[Action]:
        """Return what follows from `event`; a departure ends here, before the actions cause others."""
        actions = self.decider.handle(event, self.now)
        for action in actions:
            if isinstance(action, SendFeedback) and isinstance(action.report, ClientGone):
                gone = action.report
                assert gone.away_s == self.now - self.departed.pop(gone.identity) >= self.limits.gone_s
        return actions

    def publish(self, reply: Reply, force: bool, topic: bytes | None) -> Sent | Blocked:
        assert self.subscribers_of(reply.identity), 'published though nobody reads it'
        assert reply not in self.sent, 'published twice'
        earlier = [other for other in self.sent if other.identity == reply.identity]
        order = [self.publisher.posted.index(each) for each in [*earlier, reply]]
        assert order == sorted(order), 'published out of order'
        assert force == (reply.identity in self.lossy), 'the reader had its time, or had it not'
        published = reply.identity if topic is None else topic
        readers = [each for each in self.connections if each.is_accepted and published.startswith(each.granted)]
        assert readers == self.subscribers_of(reply.identity), 'it is sent to a stranger, or not to its own reader'
        if not force and not all(reader.room for reader in readers):
            self.blocked_since.setdefault(reply.identity, self.now)
            return Blocked(reply)
        self.blocked_since.pop(reply.identity, None)
        for reader in readers:
            reader.room = max(0, reader.room - 1)
        self.sent.append(reply)
        if force:
            self.forced.append(reply)
            self.discarded += 1
        return Sent(reply)

    def hear(self, report: Collected | Published) -> None:
        match report:
            case Collected():
                self.credit[report] += 1
            case Published(number, answered):
                assert number not in self.published, 'reported twice'
                reply = next(reply for reply in self.publisher.posted if reply.number == number)
                is_sure = reply in self.sent and reply not in self.forced
                assert answered == (reply.answered and is_sure)
                self.published[number] = answered
        assert self.credit <= self.credit_due

    def subscribers_of(self, identity: bytes) -> list[Connection]:
        return [each for each in self.connections if each.is_accepted and each.topic == identity]

    def check_reply(self, reply: Reply) -> None:
        """A reply has the rows of its request, and is the only one to it."""
        if reply.number is None:
            return
        request = self.requests[reply.number]
        assert not request.is_dropped
        assert sum(other.number == reply.number for other in self.publisher.posted) == 1, 'answered twice'
        assert reply.identity == request.ref.identity
        if reply.answered:
            rows = array_of([bytes(frame) for frame in reply.frames])[:, 0]
            assert rows.tolist() == [1000 * reply.number + row for row in range(request.ref.total_rows)]
            assert not request.unsent
        else:
            assert json.loads(bytes(reply.frames[1]))['error']

    def check_places(self) -> None:
        """Every request that the sink has heard of is in one place: open, waiting, published or dropped."""
        waiting = [reply.number for outbox in self.publisher._outboxes.values() for _, reply in outbox.waiting]
        assert set(self.published).isdisjoint(waiting)
        posted = {reply.number for reply in self.publisher.posted} - {None}
        assert posted == set(self.published) | set(waiting) - {None}
        heard_of = {number for number, request in self.requests.items() if request.is_open and not request.is_dropped}
        assert set(self.decider.assembler._open) == heard_of - posted
        assert self.credit == self.credit_due
        assert self.publisher.discarded == self.discarded

    # ---- requests

    @rule(identity=st.sampled_from(IDENTITIES), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4))
    def send_request(self, identity: bytes, sizes: list[int]) -> None:
        self.accept_request(identity, sizes)

    def accept_request(self, identity: bytes, sizes: list[int]) -> int:
        number = len(self.requests) + 1
        parts = []
        for index, rows in enumerate(sizes):
            first_row = sum(sizes[:index])
            array = 1000 * number + np.arange(first_row, first_row + rows, dtype=np.float32)[:, None]
            parts.append(a_part(index, len(sizes), first_row, rows, sum(sizes), number, identity, array))
        self.requests[number] = Request(parts[0].header.request, parts, list(parts))
        return number

    @rule(identity=st.sampled_from(IDENTITIES), rows=st.lists(st.integers(1, 3), min_size=1, max_size=3))
    def send_small_requests_that_are_answered(self, identity: bytes, rows: list[int]) -> None:
        for size in rows:
            number = self.accept_request(identity, [size])
            self.register(number)
            self.send(self.requests[number].parts[0])

    def register(self, number: int) -> None:
        self.requests[number].is_open = True
        identity = self.requests[number].ref.identity
        if not self.subscribers_of(identity):
            self.note_departure(identity)
        assert not self.tell(Register(self.requests[number].ref))

    def note_departure(self, identity: bytes) -> None:
        self.departed.setdefault(identity, self.now)
        if len(self.departed) > self.limits.departed_identities:
            self.departed.popitem(last=False)

    def some_number(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.requests)))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def register_late_or_again(self, data: st.DataObject) -> None:
        self.register(self.some_number(data))

    @precondition(lambda self: any(request.unsent for request in self.requests.values()))
    @rule(data=st.data())
    def send_a_part(self, data: st.DataObject) -> None:
        unsent = [part for request in self.requests.values() for part in request.unsent]
        self.send(data.draw(st.sampled_from(unsent)))

    def send(self, part: Part) -> None:
        request = self.requests[part.header.request.number]
        request.is_open = True
        request.unsent.remove(part)
        self.collect(part)

    def collect(self, message: Part | FailedPart | DroppedPart) -> None:
        header = message.header
        request = self.requests[header.request.number]
        was_finished = self.is_finished(request)
        self.credit_due[Collected(message.worker, header.request.number, header.part, header.attempt)] += 1
        posted = self.tell(message)
        if isinstance(message, DroppedPart) or was_finished:
            assert not posted
        elif isinstance(message, FailedPart):
            assert [reply.number for reply in posted] == [request.ref.number]
        elif not request.unsent:
            assert [reply.answered for reply in posted] == [True]
        else:
            assert not any(reply.answered for reply in posted)

    def is_finished(self, request: Request) -> bool:
        return request.is_dropped or any(reply.number == request.ref.number for reply in self.publisher.posted)

    @precondition(lambda self: any(len(r.unsent) < len(r.parts) for r in self.requests.values()))
    @rule(data=st.data())
    def send_a_part_again(self, data: st.DataObject) -> None:
        sent = [part for r in self.requests.values() for part in r.parts if part not in r.unsent]
        self.collect(data.draw(st.sampled_from(sent)))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), is_dropped=st.booleans())
    def fail_or_let_go_of_a_part(self, data: st.DataObject, is_dropped: bool) -> None:
        request = self.requests[self.some_number(data)]
        part = data.draw(st.sampled_from(request.parts))
        if is_dropped:
            self.collect(DroppedPart(part.worker, part.header))
        else:
            request.is_open = True
            self.collect(FailedPart(part.worker, part.header, RequestError('element 2 is a number')))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def drop_a_request(self, data: st.DataObject) -> None:
        request = self.requests[self.some_number(data)]
        request.is_dropped = request.is_dropped or not self.is_finished(request)
        assert not self.tell(Drop(request.ref.number))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def refuse_a_request(self, data: st.DataObject) -> None:
        request = self.requests[self.some_number(data)]
        ref, was_finished = request.ref, self.is_finished(request)
        request.is_open = True
        posted = self.tell(Refuse(ref.identity, ref.request_id, DeadlineExceeded('too late'), ref.number))
        assert [reply.number for reply in posted] == [ref.number] * (not was_finished)

    @rule(identity=st.sampled_from(IDENTITIES), is_status=st.booleans(), count=st.integers(1, 3))
    def answer_what_is_no_request(self, identity: bytes, is_status: bool, count: int) -> None:
        refusal = Refuse(identity, b'0', RequestError('no'))
        for _ in range(count):
            posted = self.tell(Status(identity, b'0', b'{}') if is_status else refusal)
            assert [reply.number for reply in posted] == [None]

    # ---- clients

    @rule(topic=st.sampled_from(TOPICS), room=st.sampled_from([0, 0, 1, 3]))
    def connect(self, topic: bytes, room: int) -> None:
        topics = {each.topic for each in self.connections if each.is_accepted}
        is_welcome = topic in topics or (topic in IDENTITIES and len(topics) < self.limits.subscribed_identities)
        self.connections.append(Connection(topic, room))
        self.tell(Subscribed(topic))
        assert self.connections[-1].is_accepted == is_welcome

    @precondition(lambda self: self.connections)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(self.connections)))

    def leave(self, connection: Connection) -> None:
        if self.forget(connection):
            self.tell(Unsubscribed(connection.topic))

    def forget(self, connection: Connection) -> bool:
        """Let a connection go; return whether the sink hears of it."""
        self.connections.remove(connection)
        others = self.subscribers_of(connection.topic)
        if connection.is_accepted and not others:
            self.unread_since[connection.topic] = self.now
            self.blocked_since.pop(connection.topic, None)
            self.note_departure(connection.topic)
        return connection.is_accepted or not others  # ZeroMQ does not say whose subscription has ended

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), room=st.integers(1, 5), count=st.integers(0, 2))
    def read(self, data: st.DataObject, room: int, count: int) -> None:
        connection = data.draw(st.sampled_from(self.connections))
        connection.room += room
        if connection.topic in IDENTITIES:  # replies that come before the sink has tried those that wait
            self.answer_what_is_no_request(connection.topic, True, count)

    # ---- time

    @rule(seconds=st.sampled_from([10.0, 21.0]))
    def pass_much_time(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.lossy |= {who for who, since in self.blocked_since.items() if self.now - since >= self.limits.unread_s}
        self.tell(Tick())
        assert all(self.now - since < self.limits.gone_s for since in self.departed.values()), 'nobody was told'
        assert all(self.now - since < self.limits.unread_s for since in self.blocked_since.values()), 'blocked forever'
        for index, reply in enumerate(self.publisher.posted):
            if reply in self.waiting() and not self.subscribers_of(reply.identity):
                since = max(self.post_times[index], self.unread_since[reply.identity])
                assert self.now - since < 2 * self.unread_s, 'it has waited too long for a subscriber'

    def waiting(self) -> list[Reply]:
        return [reply for outbox in self.publisher._outboxes.values() for _, reply in outbox.waiting]

    @rule()
    def drain(self) -> None:
        self.unread_s = self.limits.unread_s_at_the_end
        self.unread_since = dict.fromkeys(IDENTITIES, self.now)
        self.tell(Drain())

    # ---- the end

    def teardown(self) -> None:
        if not hasattr(self, 'decider'):
            return
        for request in self.requests.values():
            for part in list(request.unsent):
                self.send(part)
        for connection in list(self.connections):
            self.leave(connection)
        for identity in IDENTITIES:
            self.connect(identity, ENDLESS)
            self.leave(self.connections[-1])
        wanted = {number for number, request in self.requests.items() if not request.is_dropped}
        assert set(self.published) == wanted, 'a request was not answered'
        too_large = [reply for reply in self.publisher.posted if b'TooLarge' in bytes(reply.frames[1])]
        assert len(too_large) == self.too_large, 'a request was discarded without a warning'
        unsent = len(self.publisher.posted) - len(self.sent)
        assert self.publisher.discarded == unsent + len(self.forced), 'a reply vanished uncounted'
        assert self.decider.assembler.open_requests == self.publisher.waiting_replies == 0
        self.pass_time(self.limits.gone_s)  # exact: all times are multiples of a quarter
        assert not self.publisher._outboxes
        assert not self.publisher._departed
