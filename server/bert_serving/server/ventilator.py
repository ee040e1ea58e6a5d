"""The ventilator: reads requests, cuts them into jobs, hands the jobs to workers by their credit.

Runs in the thread of `BertServer`, in the parent process. Its two callbacks are the loop: receive, decode, let
`scheduling.Scheduler` decide, send. What comes round the ring from the sink is read before new requests, so that
credit is never older than it must be, and no send ever blocks: a socket to a child is connected from this side, which
gives it a queue at once, and what is in that queue is bounded by the credit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import zmq

from .errors import InternalError, RequestError, WireError
from .scheduling import (
    Action,
    Arrived,
    DrainStarted,
    Event,
    Limits,
    Scheduler,
    SendJob,
    WorkerLost,
    WorkerReady,
    cut_request,
)
from .settings import Settings
from .stats import RequestStatistic
from .transport import Context, Reactor, Socket, bind_tcp, make_socket
from .wire import (
    BadRequest,
    Collected,
    Drain,
    EncodeRequest,
    Published,
    Refuse,
    RingMessage,
    Status,
    StatusRequest,
    Stop,
    TerminationRequest,
    decode_client_message,
    decode_ring_message,
    encode_json,
    encode_ring_message,
    show_identity,
)

logger = logging.getLogger(__name__)


class Ventilator:
    """The head of the ring. Every method is for the one thread that runs the reactor."""

    def __init__(
        self, settings: Settings, describe: Callable[[], dict[str, Any]], on_termination: Callable[[], None]
    ) -> None:
        """`describe` gives the keys of the status that the server knows; `on_termination` stops the server."""
        self._settings = settings
        self._describe = describe
        self._on_termination = on_termination
        self._statistic = RequestStatistic()
        self._scheduler = Scheduler(
            Limits(settings.max_batch_size, settings.priority_batch_size, settings.prefetch_size)
        )
        self._workers: dict[int, Socket] = {}
        self._terminating = False

    # Sockets ---------------------------------------------------------------------------------------------------------

    def bind(self, context: Context, feedback: str, sink: str) -> int:
        """Open the sockets: `feedback` is where the sink's reports come in, `sink` the sink's intake.

        Returns:
            the port on which requests come in.

        Raises:
            StartError: the port can not be listened on.
        """
        self._context = context
        self._requests = make_socket(context, zmq.PULL)
        self._feedback = make_socket(context, zmq.PULL)
        self._sink = make_socket(context, zmq.PUSH)
        self._feedback.bind(feedback)
        self._sink.connect(sink)
        return bind_tcp(self._requests, self._settings.port, 'port')

    def listen(self, reactor: Reactor) -> None:
        """Take part in the rounds of `reactor`: first what comes from the sink, then requests."""
        reactor.add(self._feedback, self._on_feedback)
        reactor.add(self._requests, self._on_request)

    def stop_listening(self, reactor: Reactor) -> None:
        """Refuse what has come, and let go of the port: what comes now waits at its sender for the next server."""
        while self._requests.poll(0):
            self._on_request()
        reactor.remove(self._requests)
        self._requests.close()

    # Orders of the server --------------------------------------------------------------------------------------------

    def add_worker(self, worker: int, endpoint: str) -> None:
        """A worker takes jobs at `endpoint` from now on."""
        self._workers[worker] = make_socket(self._context, zmq.PUSH)
        self._workers[worker].connect(endpoint)
        self._handle(WorkerReady(worker))

    def remove_worker(self, worker: int) -> None:
        """A worker is gone: its jobs go to others."""
        socket = self._workers.pop(worker, None)
        if socket is not None:
            socket.close()
            self._handle(WorkerLost(worker))

    def start_drain(self) -> None:
        """Refuse new requests from now on; what was accepted is still answered, to clients that are there."""
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
    def rows_answered(self) -> int:
        """Rows answered with their vectors so far."""
        return self._scheduler.rows_answered

    @property
    def num_worker(self) -> int:
        """Workers that take jobs now."""
        return self._scheduler.workers

    # The loop --------------------------------------------------------------------------------------------------------

    def _on_feedback(self) -> None:
        while self._feedback.poll(0):
            try:
                report = decode_ring_message(self._feedback.recv_multipart())
            except WireError as error:
                logger.error('%s', error)
                continue
            if isinstance(report, Collected | Published):
                self._handle(report)

    def _on_request(self) -> None:
        try:
            message = decode_client_message(self._requests.recv_multipart())
        except WireError as error:
            logger.warning('%s', error)
            return
        match message:
            case EncodeRequest():
                self._accept(message)
            case StatusRequest():
                self._answer_status(message)
            case BadRequest(identity, request_id, fault):
                self._refuse(identity, request_id, fault)
            case TerminationRequest():
                self._terminate()

    def _terminate(self) -> None:
        if not self._terminating:
            logger.info('a client asked the server to stop')
        self._terminating = True
        self._on_termination()

    def _accept(self, request: EncodeRequest) -> None:
        logger.debug('new encode request id=%s rows=%d client=%s',
                     request.request_id.decode(), request.rows, show_identity(request.identity))  # fmt: skip
        try:
            cuts = cut_request(request, self._settings.max_batch_size)
        except RequestError as error:
            self._refuse(request.identity, request.request_id, error)
            return
        except Exception as error:  # a message that we have not thought of is its sender's trouble alone
            logger.exception('a request could not be cut into jobs')
            fault = InternalError('the server failed on the request: %s: %s' % (type(error).__name__, error))
            self._refuse(request.identity, request.request_id, fault)
            return
        self._statistic.count_data_request(request.identity, request.rows, time.monotonic())
        self._handle(Arrived(request, cuts))

    def _refuse(self, identity: bytes, request_id: bytes, error: RequestError) -> None:
        logger.warning('refused a request id=%s client=%s: %s',
                       request_id.decode(), show_identity(identity), error.message)  # fmt: skip
        self._send(self._sink, Refuse(identity, request_id, error))

    def _answer_status(self, request: StatusRequest) -> None:
        self._statistic.count_system_request(request.identity)
        status = {'client': show_identity(request.identity), **self._describe()}
        if request.statistic:
            status['statistic'] = self._statistic.to_dict(time.monotonic())
        self._send(self._sink, Status(request.identity, request.request_id, encode_json(status)))

    def _handle(self, event: Event) -> None:
        for action in self._scheduler.handle(event, time.monotonic()):
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case SendJob(worker, job):
                self._send(self._workers[worker], job)
            case _:
                self._send(self._sink, action.message)

    def _send(self, socket: Socket, message: RingMessage) -> None:
        socket.send_multipart(encode_ring_message(message), zmq.DONTWAIT, copy=False)
