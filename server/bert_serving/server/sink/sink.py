"""The sink: collects the parts of each request, joins them and publishes the answer to the client's identity.

Runs in a process of its own, started by the supervisor. Its loop receives, lets `assembler.Assembler` decide, and does
what was decided. It talks to the ventilator (round the ring) and to clients, never to a worker.

The clients' socket is an XPUB whose subscriptions are granted by hand (XPUB_MANUAL), and so are reported one by one,
clones and lost connections included: an answer can wait for its reader, and an empty subscription, which would match
every identity, is refused. XPUB_NODROP makes a full reader an EAGAIN for its own topic instead of a loss.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import zmq

from ..errors import WireError
from ..process.reports import ChildConfig, ReportReady
from ..protocol.ring import (
    Drain,
    Drop,
    DroppedPart,
    FailedPart,
    Part,
    Refuse,
    Register,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from ..protocol.wire import MAX_IDENTITY_BYTES
from ..transport import Context, Reactor, bind_tcp, make_socket
from .assembler import Assembler
from .events import (
    AcceptSubscription,
    Action,
    Blocked,
    Event,
    LogWarning,
    Publish,
    SendFeedback,
    Sent,
    Subscribed,
    Tick,
    Unsubscribed,
)
from .limits import DEFAULT_LIMITS, SinkLimits

logger = logging.getLogger(__name__)

TICK_S = 0.1
"""How often waiting replies are looked at: a refused send has no event that says when to try again."""

MAX_MESSAGES_A_ROUND = 64
"""Parts read before subscriptions are looked at again."""

MAX_SUBSCRIPTIONS_A_ROUND = 1024
"""Subscriptions read before parts are looked at again."""

RETRY_S = 0.005
"""How often, while a reader's queue is full."""

LONGEST_SUBSCRIPTION = 4 * MAX_IDENTITY_BYTES
"""Bytes that a reader may send at once; it has nothing to say but subscriptions."""

READER_HWM = 32
"""Answers that libzmq queues for one connection; the sink keeps, counts and bounds what is beyond."""


class Sink:
    """The sink's loop. Sockets are used by the one thread that calls `run`."""

    def __init__(
        self, intake: str, feedback: str, port_out: int, linger_ms: int, limits: SinkLimits = DEFAULT_LIMITS
    ) -> None:
        """`intake` is where parts and the ventilator's messages come in, `feedback` where reports go out."""
        self._intake_endpoint = intake
        self._feedback_endpoint = feedback
        self._port_out = port_out
        self._linger_ms = linger_ms
        self._assembler = Assembler(limits)
        self._stopped = False
        self._awake_since: float | None = None

    def run(self, context: Context, report_ready: ReportReady) -> None:
        """Serve until a `Stop` comes.

        Raises:
            StartError: `port_out` cannot be listened on.
        """
        self._bind(context)
        report_ready({'port_out': self._port_out}, self._status)
        reactor = Reactor()
        reactor.add(self._clients, self._on_subscriptions)
        reactor.add(self._intake, self._on_messages)
        next_tick = time.monotonic()
        while not self._stopped:
            pause_s = RETRY_S if self._assembler.is_blocked else TICK_S
            self._awake_since = None
            reactor.wait(timeout_ms=int(pause_s * 1000))
            self._awake_since = time.monotonic()
            reactor.dispatch()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + pause_s
                self._handle(Tick())
        self._close()

    def _status(self) -> dict[str, Any]:
        """How it does; called by the thread that reports it to the supervisor."""
        since = self._awake_since
        return {'busy_s': 0.0 if since is None else time.monotonic() - since, 'given_up': self._assembler.discarded}

    def _bind(self, context: Context) -> None:
        self._clients = context.socket(zmq.XPUB)
        self._clients.setsockopt(zmq.XPUB_MANUAL, 1)
        self._clients.setsockopt(zmq.XPUB_NODROP, 1)
        self._clients.setsockopt(zmq.SNDHWM, READER_HWM)
        self._clients.setsockopt(zmq.MAXMSGSIZE, LONGEST_SUBSCRIPTION)
        self._clients.setsockopt(zmq.LINGER, self._linger_ms)
        self._port_out = bind_tcp(self._clients, self._port_out, 'port_out')
        self._intake = make_socket(context, zmq.PULL)
        self._intake.bind(self._intake_endpoint)
        self._feedback = make_socket(context, zmq.PUSH)
        self._feedback.connect(self._feedback_endpoint)

    def _close(self) -> None:
        unread = self._assembler.discarded + self._assembler.waiting_replies
        if unread:
            logger.warning('%d replies in all were given up, because nobody read them', unread)
        for socket in (self._clients, self._intake, self._feedback):
            socket.close()

    def _on_subscriptions(self) -> None:
        for _ in range(MAX_SUBSCRIPTIONS_A_ROUND):
            if not self._clients.poll(0):
                return
            frame = self._clients.recv()
            if frame[:1] == b'\1':
                self._handle(Subscribed(frame[1:]))
            elif frame[:1] == b'\0':
                self._clients.setsockopt(zmq.UNSUBSCRIBE, frame[1:])
                self._handle(Unsubscribed(frame[1:]))

    def _on_messages(self) -> None:
        for _ in range(MAX_MESSAGES_A_ROUND):
            if self._stopped or not self._intake.poll(0):
                return
            frames = [frame.buffer for frame in self._intake.recv_multipart(copy=False)]
            try:
                message = decode_ring_message(frames)
            except WireError as error:
                logger.error('%s', error)
                continue
            match message:
                case Stop():
                    self._stopped = True
                case Part() | FailedPart() | DroppedPart() | Register() | Refuse() | Status() | Drop() | Drain():
                    self._handle(message)
                case _:
                    logger.error('the sink was sent a %s and dropped it', type(message).__name__)

    def _handle(self, event: Event) -> None:
        now = time.monotonic()
        actions = deque(self._assembler.handle(event, now))
        while actions:
            actions.extend(self._perform(actions.popleft(), now))

    def _perform(self, action: Action, now: float) -> Iterator[Action]:
        match action:
            case AcceptSubscription(topic):
                self._clients.setsockopt(zmq.SUBSCRIBE, topic)
            case SendFeedback(report):
                self._feedback.send_multipart(encode_ring_message(report), copy=False)
            case LogWarning(text):
                logger.warning('%s', text)
            case Publish():
                yield from self._assembler.handle(self._publish(action), now)

    def _publish(self, action: Publish) -> Sent | Blocked:
        if action.force:
            self._clients.setsockopt(zmq.XPUB_NODROP, 0)
        try:
            self._clients.send_multipart(action.reply.frames, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return Blocked(action.reply)
        finally:
            if action.force:
                self._clients.setsockopt(zmq.XPUB_NODROP, 1)
        logger.debug('published bytes=%d number=%s', action.reply.size, action.reply.number)
        return Sent(action.reply)


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    """Be the sink: `config` has the arguments of `Sink`; of `limits` only those that are not the default."""
    sink = Sink(
        config['intake'], config['feedback'], config['port_out'], config['linger_ms'],
        SinkLimits(**config['limits']),
    )  # fmt: skip
    context = zmq.Context()
    sink.run(context, report_ready)
    context.term()
