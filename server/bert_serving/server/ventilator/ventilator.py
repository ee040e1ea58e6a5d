"""The ventilator: reads requests, splits them into jobs, hands the jobs to workers by their credit.

Runs in the thread of `BertServer`, in the parent process. Its two callbacks are the loop: receive, decode, let
`scheduler.Scheduler` decide, send. What comes round the ring from the sink is read before new requests, so that
credit is never older than it must be, and no send ever blocks: a socket to a child is connected from this side, which
gives it a queue at once, and what is in that queue is bounded by the credit.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any, assert_never

import zmq

from ..errors import PoisonedRequest, WireError
from ..options.settings import Settings
from ..protocol.ring import (
    ClientGone,
    Collected,
    Drain,
    Drop,
    Published,
    Refuse,
    RingMessage,
    SinkMoved,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from ..protocol.wire import (
    BadRequest,
    CancelRequest,
    ClientMessage,
    EncodeRequest,
    StatusRequest,
    TerminationRequest,
    decode_client_message,
    encode_json,
    format_identity,
)
from ..stats import Outcomes, RequestStatistic
from ..transport import Context, Reactor, Socket, bind_tcp, is_loopback, make_socket
from .events import (
    Action,
    DrainStarted,
    Event,
    SendJob,
    SendToSink,
    SendToWorker,
    SinkLost,
    SinkReady,
    Tick,
    WorkerDying,
    WorkerLost,
    WorkerReady,
)
from .limits import AdmissionLimits
from .scheduler import Scheduler

logger = logging.getLogger(__name__)

MAX_QUEUE_BYTES = 1 << 30
"""Bytes of all messages that are accepted and not finished. They are what the ventilator's memory holds of requests."""

INTAKE_HWM = 64
"""Messages of one connection that wait in memory to be read; the rest waits at the sender."""

LAST_REFUSALS_S = 0.5
"""How long a server that stops goes on refusing what has come."""

LAST_WORDS_MS = 50
"""How long the last reports of a process that has died may be on their way round the ring."""

HARD_LIMIT = 4
"""A message of so many times `-max_message_bytes` ends its connection before it is in memory: no error can be sent then."""


class Ventilator:
    """The head of the ring. Every method is for the one thread that runs the reactor."""

    def __init__(
        self,
        settings: Settings,
        describe: Callable[[], dict[str, Any]],
        count_children: Callable[[], dict[str, Any]],
        on_termination: Callable[[], None],
    ) -> None:
        """`describe` gives the keys of the status that the server knows, `count_children` those of its `statistic`;
        `on_termination` stops the server.
        """
        self._settings = settings
        self._describe = describe
        self._count_children = count_children
        self._on_termination = on_termination
        self._statistic = RequestStatistic()
        self._scheduler = Scheduler(
            AdmissionLimits(
                max_batch_size=settings.max_batch_size,
                priority_batch_size=settings.priority_batch_size,
                prefetch_size=settings.prefetch_size,
                max_request_rows=settings.max_request_rows,
                max_message_bytes=settings.max_message_bytes,
                max_queue_rows=settings.max_queue_rows,
                max_queue_bytes=MAX_QUEUE_BYTES,
            )
        )
        self._workers: dict[int, Socket] = {}
        self._garbage = 0
        self._terminating = False
        self._draining = False

    # Sockets ---------------------------------------------------------------------------------------------------------

    def bind(self, context: Context, feedback: str, sink: str) -> int:
        """Open the sockets: `feedback` is where the sink's reports come in, `sink` the sink's intake.

        Returns:
            the port on which requests come in.

        Raises:
            StartError: the port cannot be listened on.
        """
        self._context = context
        self._requests = make_socket(context, zmq.PULL)
        self._requests.setsockopt(zmq.RCVHWM, INTAKE_HWM)
        self._requests.setsockopt(zmq.MAXMSGSIZE, HARD_LIMIT * self._settings.max_message_bytes)
        self._bind_to_sink(feedback, sink)
        return bind_tcp(self._requests, self._settings.port, 'port')

    def _bind_to_sink(self, feedback: str, sink: str) -> None:
        self._feedback = make_socket(self._context, zmq.PULL)
        self._sink = make_socket(self._context, zmq.PUSH)
        self._feedback.bind(feedback)
        self._sink.connect(sink)
        self._sink_endpoint = sink

    def listen(self, reactor: Reactor) -> None:
        """Take part in the rounds of `reactor`: first what comes from the sink, then requests."""
        self._reactor = reactor
        reactor.add(self._feedback, self._on_feedback)
        reactor.add(self._requests, self._on_request)

    def stop_listening(self) -> None:
        """Refuse what has come, and let go of the port: what comes now waits at its sender for the next server.

        What keeps coming faster than it is refused is left to the next server, too.
        """
        deadline = time.monotonic() + LAST_REFUSALS_S
        while self._requests.poll(0) and time.monotonic() < deadline:
            self._on_request()
        self._reactor.remove(self._requests)
        self._requests.close()

    # Orders of the server --------------------------------------------------------------------------------------------

    def add_worker(self, worker: int, endpoint: str) -> None:
        """A worker takes jobs at `endpoint` from now on."""
        socket = self._workers[worker] = make_socket(self._context, zmq.PUSH)
        socket.connect(endpoint)
        self._send(socket, SinkMoved(self._sink_endpoint))  # the one that it was started with may be gone
        self._handle(WorkerReady(worker))

    def remove_worker(self, worker: int) -> None:
        """A worker is gone: its jobs go to others, but for those whose parts the sink has."""
        if worker in self._workers:
            self._handle(WorkerDying(worker))
            self._read_last_reports()
            self._workers.pop(worker).close()
            self._handle(WorkerLost(worker))

    def _read_last_reports(self) -> None:
        """What was on its way round the ring when a process died."""
        deadline = time.monotonic() + LAST_WORDS_MS / 1000
        while (left_s := deadline - time.monotonic()) > 0:
            if self._feedback.poll(math.ceil(1000 * left_s)):
                self._on_feedback()

    def replace_sink(self, feedback: str, sink: str) -> None:
        """The sink is gone, and there will be another at `sink`: what it had is computed again.

        The new endpoints are what keeps late messages of the old sink, and for it, out of the way.
        """
        self._read_last_reports()
        self._reactor.remove(self._feedback)
        self._feedback.close()
        self._sink.close()
        self._bind_to_sink(feedback, sink)
        self._reactor.add(self._feedback, self._on_feedback, first=True)
        for socket in self._workers.values():
            self._send(socket, SinkMoved(sink))
        if self._draining:
            self._send(self._sink, Drain())
        self._handle(SinkLost())

    def sink_ready(self) -> None:
        """The sink, or the next one, does its work."""
        self._handle(SinkReady())

    def tick(self) -> None:
        """Look at the deadlines; to be called soon again while `awaits_deadline`."""
        self._handle(Tick())

    @property
    def awaits_deadline(self) -> bool:
        """Whether a request has a deadline."""
        return self._scheduler.awaits_deadline

    def start_drain(self) -> None:
        """Refuse new requests from now on; what was accepted is still answered, to clients that are there."""
        self._draining = True
        self._handle(DrainStarted())
        self._send(self._sink, Drain())

    def stop_workers(self) -> None:
        """Tell the workers to end when they have computed what they hold."""
        for socket in self._workers.values():
            self._send(socket, Stop())

    def stop_sink(self) -> None:
        """Tell the sink to end when its answers are with the system; only after the workers have gone."""
        self._send(self._sink, Stop())

    @property
    def unanswered(self) -> int:
        """Requests accepted and not yet published."""
        return self._scheduler.unanswered

    @property
    def outcomes(self) -> Outcomes:
        """What has become of the requests so far."""
        return self._scheduler.outcomes

    # The loop --------------------------------------------------------------------------------------------------------

    def _on_feedback(self) -> None:
        while self._feedback.poll(0):
            try:
                report = decode_ring_message(self._feedback.recv_multipart())
            except WireError as error:
                logger.error('%s', error)
                continue
            if isinstance(report, Collected | Published | ClientGone):
                self._handle(report)
            if isinstance(report, Published):
                self._log_finished(report.number)

    def _on_request(self) -> None:
        frames = self._requests.recv_multipart(copy=False)
        try:
            message = decode_client_message([frame.buffer for frame in frames])
            if isinstance(message, TerminationRequest):
                message = TerminationRequest(peer=str(frames[0].get('Peer-Address')))
            self._handle_message(message)
        except WireError as error:
            self._garbage += 1
            logger.warning('%s', error)
        except Exception:  # out of memory for a message, say: it must not end the server
            self._garbage += 1
            logger.exception('could not read a message')

    def _handle_message(self, message: ClientMessage) -> None:
        match message:
            case EncodeRequest(identity, request_id, rows):
                logger.debug(
                    'new encode request id=%s rows=%d client=%s', request_id.decode(), rows, format_identity(identity)
                )
                self._statistic.count_data_request(identity, rows, time.monotonic())
                self._handle(message)
            case StatusRequest():
                self._answer_status(message)
            case BadRequest() | CancelRequest():
                self._handle(message)
            case TerminationRequest(peer):
                self._terminate(peer)
            case _:
                assert_never(message)

    def _terminate(self, sender: str) -> None:
        if not (self._settings.allow_remote_terminate or is_loopback(sender)):
            logger.warning(
                'ignored a shutdown request from %s: only local requests are accepted without -allow_remote_terminate',
                sender,
            )
            return
        if not self._terminating:
            logger.info('a client asked the server to stop')
        self._terminating = True
        self._on_termination()

    def _answer_status(self, request: StatusRequest) -> None:
        self._statistic.count_system_request(request.identity)
        status = {'client': format_identity(request.identity), **self._describe()}
        if request.statistic:
            status['statistic'] = self._count()
        self._send(self._sink, Status(request.identity, request.request_id, encode_json(status)))

    def _count(self) -> dict[str, Any]:
        """The `statistic` of the status."""
        scheduler = self._scheduler
        return {
            **self._statistic.to_dict(time.monotonic()),
            **scheduler.outcomes.to_dict(),
            **scheduler.gauge(),
            **self._count_children(),
            'num_garbage_message': self._garbage,
            'queue_time': scheduler.queue_time.to_dict(),
            'total_time': scheduler.total_time.to_dict(),
        }

    def _handle(self, event: Event) -> None:
        for action in self._scheduler.handle(event, time.monotonic()):
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case SendJob(worker, job):
                self._send(self._workers[worker], job)
            case SendToWorker(worker, message):
                self._send(self._workers[worker], message)
            case SendToSink(message):
                if isinstance(message, Refuse):
                    self._log_refusal(message)
                elif isinstance(message, Drop):
                    self._log_finished(message.number)
                self._send(self._sink, message)
            case _:
                assert_never(action)

    def _log_refusal(self, refusal: Refuse) -> None:
        error = refusal.error
        logger.warning(
            'refused a request id=%s client=%s: %s',
            refusal.request_id.decode(),
            format_identity(refusal.identity),
            error.message,
            exc_info=error.__cause__,
        )
        if isinstance(error, PoisonedRequest):
            logger.warning('poisoned request number=%d: %s', refusal.number, self._tell_story(refusal.number))

    def _log_finished(self, number: int) -> None:
        """Log the life of a request that finished after something unusual."""
        if logger.isEnabledFor(logging.DEBUG) and (story := self._tell_story(number)):
            logger.debug('finished request number=%d: %s', number, story)

    def _tell_story(self, number: int) -> str:
        return '; '.join(self._scheduler.story(number))

    def _send(self, socket: Socket, message: RingMessage) -> None:
        socket.send_multipart(encode_ring_message(message), zmq.DONTWAIT, copy=False)
