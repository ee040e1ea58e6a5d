"""The sink: the process that assembles the parts of each request and publishes the reply to the client.

Its loop receives messages, lets `decider.SinkDecider` decide, and performs the actions. It receives from the ventilator
and the workers, and sends to the ventilator and the clients, but never to workers.

The clients' socket is an XPUB whose subscriptions the sink accepts one by one (XPUB_MANUAL). ZeroMQ then reports the
begin and end of every subscription, including those of clones and lost connections, so a reply can wait for its reader.
The sink refuses an empty subscription, which would match every identity. With XPUB_NODROP, a subscriber with a full
queue causes EAGAIN for its own topic instead of a loss.

To disconnect a client, the sink shuts down its TCP connection, so that no later message reaches the client.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, assert_never

import zmq

from ..addresses import ANY_IPV4
from ..errors import WireError
from ..guard import ALLOWANCE_BYTES, MessageCounter, Watch, guard_port
from ..links.keys import KeyPair
from ..links.ports import RingPort
from ..process.allocator import return_large_blocks
from ..process.reports import ChildConfig, ReportReady
from ..protocol.ring import (
    ClientGone,
    Collected,
    Drain,
    Drop,
    DroppedPart,
    FailedPart,
    Job,
    Part,
    Published,
    Refuse,
    Register,
    SinkMoved,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from ..protocol.wire import MAX_IDENTITY_BYTES, SAFE_TOPIC_BYTES, encode_error, exact_topic
from ..security.access import Peer, identity_error
from ..security.audit import Audit
from ..security.gate import PROXY, Gate, SecurityConfig
from ..security.port import PortAccess
from ..security.shares import PrincipalShares
from ..security.zap import admit_known_protocols
from ..tcp import Connection, acknowledged_bytes, is_open, shut_down
from ..telemetry import Tracer, open_tracer
from ..transport import Context, Reactor, Socket, bind_tcp, connection_of_message, make_socket
from .connections import SubscriptionBook
from .decider import SinkDecider
from .events import (
    AcceptSubscription,
    Action,
    Blocked,
    CutOffReaders,
    CutOffSlowReaders,
    EmitSpans,
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
from .limits import SinkLimits
from .unread import UnreadLedger
from .unread_quotas import UnreadQuotas

logger = logging.getLogger(__name__)

TICK_S = 0.1
"""Seconds between two checks of the waiting replies."""

RETRY_S = 0.005
"""Seconds between two checks while a subscriber's queue is full, because no event reports that it has room again."""

MAX_MESSAGES_A_ROUND = 64
"""Messages to read before checking subscriptions again."""

MAX_SUBSCRIPTIONS_A_ROUND = 1024
"""Subscriptions to read before checking messages again."""

LONGEST_SUBSCRIPTION = 2 * MAX_IDENTITY_BYTES
"""Bytes of the largest message that a client can send here, because clients send only subscriptions. ZeroMQ closes the
connection of a larger one before storing it."""

MOST_UNREAD = 1 << 20
"""Bytes that a connection can send within an unfinished subscription. Clients send very few."""

MOST_REFUSED_TOPICS = 16
"""Subscriptions to other principals' identities after which the sink closes a connection. Our client gives up after
one."""

READER_HWM = 32
"""Replies that libzmq queues for one connection. The publisher keeps and limits the rest."""


class Sink:
    """The sink's loop. One thread calls `run` and uses the sockets."""

    def __init__(
        self,
        intake: str,
        feedback: str,
        port_out: int,
        linger_ms: int,
        decider: SinkDecider,
        clock: Callable[[], float] = time.monotonic,
        address: str = ANY_IPV4,
        tracer: Tracer | None = None,
        access: PortAccess | None = None,
        remote: RingPort | None = None,
    ) -> None:
        """Prepare the sink. `run` opens the sockets.

        Args:
            intake: the endpoint for parts and for the ventilator's messages.
            feedback: the endpoint of the ventilator, for reports.
            port_out: the port for clients; 0 for any free one.
            linger_ms: milliseconds to deliver the last replies after `Stop`.
            decider: turns events into actions.
            clock: the time in seconds; it never goes back.
            address: where to listen for clients.
            tracer: takes the spans of traced requests.
            access: the rules for clients with keys; None without keys.
            remote: where parts of workers on other machines come in; None without any.
        """
        self._intake_endpoint = intake
        self._feedback_endpoint = feedback
        self._port_out = port_out
        self._address = address
        self._tracer = tracer
        self._access = access
        self._remote = remote
        self._refused_topics: Counter[Connection] = Counter()
        if access is not None:
            decider.publisher.quotas = UnreadQuotas(PrincipalShares(access.gate, PROXY))
        self._linger_ms = linger_ms
        self._clock = clock
        self._decider = decider
        self._counter = MessageCounter()
        self._unread = UnreadLedger(acknowledged_bytes)
        self._book = SubscriptionBook(decider.publisher.limits, on_end=self._unread.forget)
        self._slow_readers = 0
        self._subscribing: tuple[Connection, bytes] | None = None
        self._stopped = False
        self._awake_since: float | None = None

    def run(self, context: Context, report_ready: ReportReady) -> None:
        """Serve until a `Stop` arrives.

        Raises:
            StartError: `port_out` cannot be listened on.
        """
        self._bind(context)
        ports = {'port_out': self._port_out}
        report_ready(ports if self._remote is None else {**ports, 'ring_port': self._remote.number}, self._status)
        reactor = Reactor()
        reactor.add(self._clients, self._on_subscriptions)
        for intake in (self._intake, *(() if self._remote is None else (self._remote.socket,))):
            reactor.add(intake, partial(self._on_messages, intake))
        next_tick = self._clock()
        while not self._stopped:
            pause_s = RETRY_S if self._decider.publisher.is_blocked else TICK_S
            self._awake_since = None
            reactor.wait(timeout_ms=0 if self._decider.is_joining else int(pause_s * 1000))
            self._awake_since = self._clock()
            reactor.dispatch()
            if self._decider.is_joining:
                self._handle(SpareTime())
            if self._clock() >= next_tick:
                next_tick = self._clock() + pause_s
                for topic in self._book.settle(is_open, self._clock()):
                    self._handle(Unsubscribed(topic))
                self._look_at_keys()
                self._handle(Tick())
        self._close()

    def _status(self) -> dict[str, Any]:
        """The payload of a heartbeat. The heartbeat thread calls it."""
        since = self._awake_since
        busy_s = 0.0 if since is None else self._clock() - since
        discarded = self._decider.publisher.discarded
        status = {'busy_s': busy_s, 'given_up': discarded, 'slow_readers': self._slow_readers}
        return status if self._access is None else {**status, 'security': self._access.audit.counts}

    def _bind(self, context: Context) -> None:
        self._clients = context.socket(zmq.XPUB)
        self._clients.setsockopt(zmq.XPUB_MANUAL, 1)
        self._clients.setsockopt(zmq.XPUB_NODROP, 1)
        self._clients.setsockopt(zmq.SNDHWM, READER_HWM)
        self._clients.setsockopt(zmq.MAXMSGSIZE, LONGEST_SUBSCRIPTION)
        self._clients.setsockopt(zmq.LINGER, self._linger_ms)
        admit_known_protocols(context, self._clients, self._access)
        self._port_out = bind_tcp(self._clients, self._port_out, 'port_out', self._address)
        allowance = min(ALLOWANCE_BYTES, self._decider.publisher.limits.unread_bytes // 2)
        self._stop_guard = guard_port(self._port_out, Watch(MOST_UNREAD, allowance), self._counter, lambda: 0)
        self._intake = make_socket(context, zmq.PULL)
        self._intake.bind(self._intake_endpoint)
        self._feedback = make_socket(context, zmq.PUSH)
        self._feedback.connect(self._feedback_endpoint)

    def _close(self) -> None:
        publisher = self._decider.publisher
        unread = publisher.discarded + publisher.waiting_replies
        if unread:
            logger.warning('discarded %d unread replies', unread)
        self._stop_guard()
        for socket in (self._clients, self._intake, self._feedback):
            socket.close()
        if self._remote is not None:
            self._remote.close()

    def _on_subscriptions(self) -> None:
        for _ in range(MAX_SUBSCRIPTIONS_A_ROUND):
            if not self._clients.poll(0):
                return
            frame = self._clients.recv(copy=False)
            self._counter.add(frame)
            message = frame.bytes
            connection = connection_of_message(frame)
            if connection is not None and self._access is not None:
                peer = self._access.admit(frame)
                if peer is None:
                    self._cut_off(connection)
                    continue
                if message[:1] == b'\1' and not self._access.may_use(peer, message[1:]):
                    self._refuse_topic(connection, peer, message[1:])
                    continue
            if message[:1] == b'\1' and connection is not None:
                self._subscribe(connection, message[1:])
            elif message[:1] == b'\0':
                self._unsubscribe(connection, message[1:])

    def _subscribe(self, connection: Connection, topic: bytes) -> None:
        if self._book.holds(connection, topic):
            return
        refusal = self._book.refusal(connection)
        if refusal is None and len(topic) > MAX_IDENTITY_BYTES:
            refusal = 'its subscription has %d bytes, but an identity has at most %d' % (len(topic), MAX_IDENTITY_BYTES)
        if refusal is not None:
            logger.warning('closed a connection from %s: %s', connection.address, refusal)
            self._cut_off(connection)
            return
        self._subscribing = connection, topic
        self._handle(Subscribed(topic))

    def _refuse_topic(self, connection: Connection, peer: Peer, topic: bytes) -> None:
        """Send an error to a client that subscribed to another's identity, with a topic that nobody else can guess."""
        refusal = topic[:MAX_IDENTITY_BYTES] + b'\0' + os.urandom(16)
        self._clients.setsockopt(zmq.SUBSCRIBE, refusal)
        with contextlib.suppress(zmq.Again):
            self._clients.send_multipart(encode_error(refusal, b'0', identity_error(peer.name, topic)), zmq.DONTWAIT)
        self._clients.setsockopt(zmq.UNSUBSCRIBE, refusal)
        self._refused_topics[connection] += 1
        if self._refused_topics[connection] > MOST_REFUSED_TOPICS:  # libzmq remembers each
            logger.warning(
                'closed a connection from %s: it subscribes to identities of other principals', connection.address
            )
            self._cut_off(connection)
            self._refused_topics = Counter({each: n for each, n in self._refused_topics.items() if is_open(each)})

    def _look_at_keys(self) -> None:
        """Disconnect clients whose keys have become invalid."""
        for connection in () if self._access is None else self._access.look():
            self._cut_off(connection)

    def _unsubscribe(self, connection: Connection | None, topic: bytes) -> None:
        """End a subscription, because its `connection` unsubscribed or, if that is None, was lost."""
        if connection is None:
            has_ended = self._book.ended(topic, is_open, self._clock())
        else:
            has_ended = self._book.remove(connection, topic)
            self._clients.setsockopt(zmq.UNSUBSCRIBE, topic)
            if 0 < len(topic) < SAFE_TOPIC_BYTES:
                self._clients.setsockopt(zmq.UNSUBSCRIBE, exact_topic(topic))
        if has_ended:
            self._handle(Unsubscribed(topic))

    def _cut_off(self, connection: Connection) -> None:
        """Close a connection. Its peer receives no more messages, and its subscriptions end."""
        shut_down(connection)
        for topic in self._book.topics_of(connection):
            self._book.remove(connection, topic)
            self._handle(Unsubscribed(topic))

    def _on_messages(self, intake: Socket) -> None:
        for _ in range(MAX_MESSAGES_A_ROUND):
            if self._stopped:
                return
            try:
                frames = [frame.buffer for frame in intake.recv_multipart(zmq.DONTWAIT, copy=False)]
            except zmq.Again:  # also of a readable socket: see `FrameReader.read`
                return
            try:
                message = decode_ring_message(frames)
            except WireError as error:
                logger.error('%s', error)
                continue
            match message:
                case Part() | FailedPart() | DroppedPart() | Register() | Refuse() | Status() | Drop() | Drain():
                    self._handle(message)
                case Stop():
                    self._stopped = True
                case Job() | SinkMoved() | Collected() | Published() | ClientGone():
                    logger.error('dropped an unexpected message kind=%s', type(message).__name__)
                case _:
                    assert_never(message)

    def _handle(self, event: Event) -> None:
        """Perform the actions for `event`, and for the outcome of each `Publish` among them."""
        now = self._clock()
        actions = deque(self._decider.handle(event, now))
        while actions:
            for outcome in self._perform(actions.popleft()):
                actions += self._decider.handle(outcome, self._clock())

    def _perform(self, action: Action) -> Sequence[Event]:
        """Perform `action`, and return the resulting events for the decider."""
        match action:
            case Publish():
                return (self._publish(action),)
            case SendFeedback(report):
                self._feedback.send_multipart(encode_ring_message(report), copy=False)
            case AcceptSubscription(topic):
                if self._subscribing is not None:
                    self._book.add(*self._subscribing)
                self._clients.setsockopt(zmq.SUBSCRIBE, topic)
            case CutOffReaders(topic):
                return self._cut_off_readers(self._book.holders_of(topic))
            case CutOffSlowReaders(topic):
                return self._cut_off_slow_readers(topic)
            case LogWarning(text):
                logger.warning('%s', text)
            case EmitSpans(traceparent, spans):
                if self._tracer is not None:
                    self._tracer.emit(traceparent, spans)
            case _:
                assert_never(action)
        return ()

    def _cut_off_slow_readers(self, topic: bytes) -> Sequence[Event]:
        """Close the connections with many unread bytes or, if there are none, all that share the topic."""
        holders = self._book.holders_of(topic)
        slow = [connection for connection in holders if not self._unread.has_room(connection)]
        self._slow_readers += len(slow or holders)
        return self._cut_off_readers(slow or holders)

    def _cut_off_readers(self, connections: Sequence[Connection]) -> Sequence[Event]:
        ended: list[Event] = []
        for connection in connections:
            shut_down(connection)
            for each in self._book.topics_of(connection):
                self._book.remove(connection, each)
                ended.append(Unsubscribed(each))
        return ended

    def _publish(self, action: Publish) -> Sent | Blocked:
        reply, holders = action.reply, self._book.holders_of(action.reply.identity)
        full = [connection for connection in holders if not self._unread.has_room(connection)]
        if full and not action.force:
            return Blocked(reply)
        for connection in full:
            logger.warning('closed a connection from %s: it does not read its replies', connection.address)
            self._slow_readers += 1
            shut_down(connection)
        if action.force:
            self._clients.setsockopt(zmq.XPUB_NODROP, 0)
        try:
            frames = reply.frames if action.topic is None else [action.topic, *reply.frames[1:]]
            self._clients.send_multipart(frames, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return Blocked(reply)
        finally:
            if action.force:
                self._clients.setsockopt(zmq.XPUB_NODROP, 1)
        for connection in holders:
            self._unread.give(connection, reply.size)
        logger.debug('published bytes=%d number=%s', reply.size, reply.number)
        return Sent(reply)


def _open_remote(remote: dict[str, Any] | None) -> RingPort | None:
    return (
        None if remote is None else RingPort(zmq.PULL, remote['address'], KeyPair(**remote['keys']), remote['workers'])
    )


def _access(security: dict[str, Any] | None, audit_file: str | None) -> PortAccess | None:
    return None if security is None else PortAccess(Gate(SecurityConfig(**security)), Audit(audit_file))


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    """Run the sink. `config` has the arguments of `Sink`, and the `limits` that differ from the defaults."""
    return_large_blocks()
    decider = SinkDecider(SinkLimits(**config['limits']))
    tracer = open_tracer(os.environ)
    sink = Sink(
        config['intake'],
        config['feedback'],
        config['port_out'],
        config['linger_ms'],
        decider,
        address=config['address'],
        tracer=tracer,
        access=_access(config['security'], config['audit_file']),
        remote=_open_remote(config.get('remote')),
    )
    context = zmq.Context()
    sink.run(context, report_ready)
    context.term()
    if tracer is not None:
        tracer.close()
