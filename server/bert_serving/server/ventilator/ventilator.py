"""The ventilator: read requests, split them into jobs, and hand the jobs to workers that have credit.

It runs in the thread of `BertServer`, in the parent process. Its two callbacks are the loop: receive, decode, let
`scheduler.Scheduler` decide, send.

The reports of the sink are read before new requests, and no send ever blocks (rule 2 of the ring,
docs/architecture.md): the ways to the workers are in `links.outlets`, and the credit bounds what is in their queues.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, assert_never

import zmq

from ..addresses import ANY_IPV4, is_local
from ..errors import PoisonedRequest, QuotaExceeded, WireError
from ..guard import ALLOWANCE_BYTES, Watch, guard_port
from ..links.frames import FrameReader
from ..links.outlets import Outlets
from ..links.ports import JobPort
from ..options.settings import Settings
from ..protocol.ring import (
    ClientGone,
    Collected,
    Drain,
    Drop,
    Published,
    Refuse,
    RingMessage,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from ..protocol.status_view import view_of_stranger
from ..protocol.wire import (
    BadRequest,
    CancelRequest,
    EncodeRequest,
    StatusRequest,
    TerminationRequest,
    decode_client_message,
    encode_json,
    format_identity,
)
from ..security.actions import NO_ACTIONS, add_up
from ..security.gate import PROXY
from ..security.port import PortAccess
from ..security.shares import PrincipalShares
from ..security.zap import admit_known_protocols
from ..socket_owner import owner_of_peer
from ..stats import Outcomes, RequestStatistic
from ..transport import Context, Reactor, Socket, bind_tcp, connection_of_message, make_socket
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
from .reply_size import ReplySize
from .scheduler import Scheduler
from .served_model import Resolve, as_it_is
from .termination import TerminationPolicy, TerminationSender, refusal_of_termination

logger = logging.getLogger(__name__)

MAX_QUEUE_BYTES = 1 << 30
"""The maximum estimated memory of all unfinished requests."""

INTAKE_HWM = 64
"""Messages of one connection that libzmq keeps in memory. The rest waits at the sender."""

MAX_REPORTS_A_ROUND = 500
"""Reports of the sink that are read before a request: it can have very many at once, of clients that have gone."""

LAST_REFUSALS_S = 0.5
"""Seconds for which a stopping server refuses the requests that have already arrived."""

LAST_WORDS_MS = 50
"""Milliseconds for which the last reports of a dead process can be on their way around the ring. Nobody is served
meanwhile, and a node of a cluster takes many workers with it."""

HARD_LIMIT = 4
"""The multiple of `-max_message_bytes` at which libzmq closes the connection without reading the message, so that there
is no error reply."""


class Ventilator:
    """The head of the ring. All methods are for the reactor's thread only."""

    def __init__(
        self,
        settings: Settings,
        describe: Callable[[], dict[str, Any]],
        count_children: Callable[[], dict[str, Any]],
        on_termination: Callable[[], None],
        resolve: Resolve = as_it_is,
        traces: bool = False,
    ) -> None:
        """Prepare the ventilator without opening sockets.

        Args:
            settings: the options of the server.
            describe: returns the keys of the status that the server provides.
            count_children: returns the keys of `statistic` that the server provides.
            on_termination: stops the server.
            resolve: checks the options of a request against the model, as `ServedModel.resolve` does.
            traces: whether to record the times of requests with a `traceparent`, for spans.
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
            ),
            resolve,
            traces,
        )
        self._workers = Outlets()
        self._retiring: dict[int, Callable[[], None]] = {}
        self._garbage = 0
        self._access: PortAccess | None = None
        self._terminating = False
        self._draining = False

    def bound_memory(self, queue_bytes: int, reply_size: ReplySize) -> None:
        """Set the limits on the memory of unfinished requests and on the size of replies. Call it before `bind`."""
        self._scheduler.limits = replace(self._scheduler.limits, max_queue_bytes=queue_bytes)
        self._scheduler.reply_size = reply_size

    # ---- sockets

    def bind(
        self,
        context: Context,
        feedback: str,
        sink: str,
        address: str = ANY_IPV4,
        access: PortAccess | None = None,
    ) -> int:
        """Open the sockets.

        Args:
            context: makes the sockets.
            feedback: the endpoint of the sink's reports.
            sink: the endpoint of the sink's intake.
            address: where to listen for clients.
            access: the rules for clients with keys; None without keys.

        Returns:
            the port for requests.

        Raises:
            StartError: the port cannot be bound.
        """
        self._context = context
        self._address = address
        self._access = access
        if access is not None:
            self._scheduler.share_by(PrincipalShares(access.gate, PROXY))
        self._requests = make_socket(context, zmq.PULL)
        self._reader = FrameReader(self._requests)
        self._requests.setsockopt(zmq.RCVHWM, INTAKE_HWM)
        self._requests.setsockopt(zmq.MAXMSGSIZE, HARD_LIMIT * self._settings.max_message_bytes)
        self._bind_to_sink(feedback, sink)
        admit_known_protocols(context, self._requests, access)
        port = bind_tcp(self._requests, self._settings.port, 'port', address)
        most_unfinished = min(ALLOWANCE_BYTES, self._scheduler.limits.max_queue_bytes // 2)
        watch = Watch(largest=HARD_LIMIT * self._settings.max_message_bytes, allowance=most_unfinished)
        self._stop_guard = guard_port(port, watch, self._reader.counter, lambda: self._scheduler.memory_bytes)
        return port

    def _bind_to_sink(self, feedback: str, sink: str) -> None:
        self._feedback = make_socket(self._context, zmq.PULL)
        self._sink = make_socket(self._context, zmq.PUSH)
        self._feedback.bind(feedback)
        self._sink.connect(sink)
        self._sink_endpoint = sink

    def listen(self, reactor: Reactor, jobs: JobPort | None = None) -> None:
        """Take part in the rounds of `reactor`: reports of the sink first, then requests.

        `jobs` is the port for workers of other machines; None without any.
        """
        self._reactor = reactor
        if jobs is not None:
            self._workers.listen(jobs, reactor)
        reactor.add(self._feedback, self._on_feedback)
        reactor.add(self._requests, self._on_request)

    def stop_listening(self) -> None:
        """Refuse the requests that have arrived, and close the port. Later requests wait at their senders.

        If requests arrive faster than they can be refused, the rest is left to the next server, too.
        """
        deadline = time.monotonic() + LAST_REFUSALS_S
        while self._requests.poll(0) and time.monotonic() < deadline:
            self._on_request()
        self._stop_guard()
        self._reactor.remove(self._requests)
        self._requests.close()

    # ---- commands of the server

    def add_worker(self, worker: int, endpoint: str) -> None:
        """Hand jobs to a worker at `endpoint` from now on."""
        self._workers.open(self._context, worker, endpoint, self._sink_endpoint)
        self._handle(WorkerReady(worker))

    def retire_worker(self, worker: int, on_stop: Callable[[], None]) -> None:
        """Hand no more jobs to a worker, and tell it to end when it has done those that it holds.

        `on_stop` is called just before it is told.
        """
        self._retiring[worker] = on_stop
        self._handle(WorkerDying(worker))

    def _stop_retired(self) -> None:
        for worker in [each for each in self._retiring if not self._scheduler.holds_jobs(each)]:
            self._retiring.pop(worker)()
            self._workers.send(worker, Stop())

    def remove_worker(self, worker: int, with_machine: bool = False) -> None:
        """Hand the jobs of a dead worker, perhaps lost `with_machine`, to others, except those that the sink has."""
        self._retiring.pop(worker, None)
        if worker in self._workers:
            self._handle(WorkerDying(worker))
            self._read_last_reports(lambda: self._scheduler.holds_jobs(worker))
            self._workers.close(worker)
            self._handle(WorkerLost(worker, with_machine))

    def _read_last_reports(self, are_wanted: Callable[[], bool]) -> None:
        """Read the reports that were on their way around the ring when a process died, while `are_wanted`."""
        deadline = time.monotonic() + LAST_WORDS_MS / 1000
        while are_wanted() and (left_s := deadline - time.monotonic()) > 0:
            if self._feedback.poll(math.ceil(1000 * left_s)):
                self._on_feedback()

    def replace_sink(self, feedback: str, sink: str) -> None:
        """Replace a dead sink by the one at `sink`, and compute again everything that the dead one held.

        New endpoints keep out late messages from and to the old sink (rule 3 of the ring).
        """
        self._read_last_reports(lambda: self.unanswered > 0)
        self._reactor.remove(self._feedback)
        self._feedback.close()
        self._sink.close()
        self._bind_to_sink(feedback, sink)
        self._reactor.add(self._feedback, self._on_feedback, first=True)
        self._workers.move_sink(sink)
        if self._draining:
            self._send(self._sink, Drain())
        self._handle(SinkLost())

    def sink_ready(self, endpoint: str | None = None) -> None:
        """Note that the sink, the first or the next, is ready; `endpoint` is where other machines send their parts."""
        if endpoint is not None:
            self._workers.find_sink(endpoint)
        self._handle(SinkReady())

    def look_at_keys(self) -> None:
        """Disconnect clients whose keys have become invalid. Call it a few times a second."""
        if self._access is not None:
            self._access.look()

    def tick(self) -> None:
        """Check the deadlines, drop and split on. Call it again while `awaits_tick`, at once while `is_splitting`."""
        self._handle(Tick())

    @property
    def is_splitting(self) -> bool:
        """Whether a large request is being split."""
        return self._scheduler.is_splitting

    @property
    def awaits_tick(self) -> bool:
        """Whether a request has a deadline, or requests of clients that have gone are still to be dropped."""
        return self._scheduler.awaits_tick

    def start_drain(self) -> None:
        """Refuse new requests from now on. Accepted ones still get their replies, if their clients are connected."""
        self._draining = True
        self._handle(DrainStarted())
        self._send(self._sink, Drain())

    def stop_workers(self) -> None:
        """Tell the workers to end after the jobs that they hold."""
        self._workers.send_to_all(Stop())

    def stop_sink(self) -> None:
        """Tell the sink to exit after its last reply. Call it after the workers have exited."""
        self._send(self._sink, Stop())

    @property
    def unanswered(self) -> int:
        """Requests accepted and not yet published."""
        return self._scheduler.unanswered

    @property
    def outcomes(self) -> Outcomes:
        """The outcomes of requests so far."""
        return self._scheduler.outcomes

    # ---- the loop

    def _on_feedback(self) -> None:
        for _ in range(MAX_REPORTS_A_ROUND):
            if not self._feedback.poll(0):
                return
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
        frames = self._reader.read()
        if not frames:
            return
        try:
            message = decode_client_message([frame.buffer for frame in frames])
            if isinstance(message, TerminationRequest):
                self._on_termination_request(frames[0])
            else:
                permitted = message if self._access is None else self._access.check(frames[0], message)
                if isinstance(permitted, StatusRequest):
                    self._answer_status(permitted, str(frames[0].get('Peer-Address')))
                elif permitted is not None:
                    self._handle_message(permitted)
        except WireError as error:
            self._garbage += 1
            logger.warning('%s', error)
        except Exception:  # such as out of memory for a message, which must not end the server
            self._garbage += 1
            logger.exception('could not read a message')

    def _handle_message(self, message: EncodeRequest | BadRequest | CancelRequest) -> None:
        match message:
            case EncodeRequest(identity, request_id, rows):
                if logger.isEnabledFor(logging.DEBUG):
                    client = format_identity(identity)
                    logger.debug('new encode request id=%s rows=%d client=%s', request_id.decode(), rows, client)
                self._statistic.count_data_request(identity, rows, time.monotonic())
                self._handle(message)
            case BadRequest() | CancelRequest():
                self._handle(message)
            case _:
                assert_never(message)

    def _on_termination_request(self, frame: zmq.Frame) -> None:
        peer, connection = str(frame.get('Peer-Address')), connection_of_message(frame)
        user = None if connection is None else owner_of_peer(connection)
        sender = TerminationSender(is_local=is_local(peer, self._address), user=user)
        if self._access is not None:
            sender = TerminationSender(is_granted=self._access.may_terminate(frame))
        self.terminate(peer, sender)

    def terminate(self, name: str, sender: TerminationSender) -> str | None:
        """Stop the server if the policy allows `sender` to. Otherwise return the reason. `name` is for the log."""
        settings = self._settings
        policy = TerminationPolicy(settings.no_terminate, settings.allow_remote_terminate, os.geteuid())
        refusal = refusal_of_termination(policy, sender)
        if refusal is not None:
            logger.warning('ignored a shutdown request from %s: %s', name, refusal)
            return refusal
        if not self._terminating:
            logger.info('a client asked the server to stop')
        self._terminating = True
        self._on_termination()
        return None

    def _answer_status(self, request: StatusRequest, peer: str) -> None:
        """Reply with the status. A peer on another machine without a key gets only the last components of paths."""
        self._statistic.count_system_request(request.identity)
        status = {'client': format_identity(request.identity), **self._describe()}
        if self._access is None and not is_local(peer, self._address):  # with keys, it has the grant to see everything
            status = view_of_stranger(status)
        if request.statistic:
            status['statistic'] = self._count()
        self._send(self._sink, Status(request.identity, request.request_id, encode_json(status)))

    def _count(self) -> dict[str, Any]:
        """The `statistic` in the status."""
        scheduler, children = self._scheduler, self._count_children()
        own = NO_ACTIONS if self._access is None else self._access.audit.counts
        return {
            **self._statistic.to_dict(time.monotonic()),
            **scheduler.outcomes.to_dict(),
            **scheduler.gauge(),
            **children,
            **add_up(own, children),
            'num_garbage_message': self._garbage + self._reader.num_skipped,
            'queue_time': scheduler.queue_time.to_dict(),
            'total_time': scheduler.total_time.to_dict(),
        }

    def _handle(self, event: Event) -> None:
        for action in self._scheduler.handle(event, time.monotonic()):
            self._perform(action)
        if self._retiring:
            self._stop_retired()

    def _perform(self, action: Action) -> None:
        match action:
            case SendJob(worker, job):
                self._workers.send(worker, job)
            case SendToWorker(worker, message):
                self._workers.send(worker, message)
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
        if self._access is not None and isinstance(error, QuotaExceeded):
            self._access.note_quota(self._scheduler.owner_of(refusal.identity), refusal.request_id, error)
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
        """Log the story of a request that finished after an unusual event."""
        if logger.isEnabledFor(logging.DEBUG) and (story := self._tell_story(number)):
            logger.debug('finished request number=%d: %s', number, story)

    def _tell_story(self, number: int) -> str:
        return '; '.join(self._scheduler.story(number))

    def _send(self, socket: Socket, message: RingMessage) -> None:
        socket.send_multipart(encode_ring_message(message), zmq.DONTWAIT, copy=False)
