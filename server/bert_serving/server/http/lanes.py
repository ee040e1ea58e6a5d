"""The front door: waitress, with three lanes behind it, so that an overload is refused at once and a probe is answered.

Runs in the main thread of the proxy, which reads and writes all connections; the lanes have the threads that serve.

* *work*: requests that encode, `max_connect` at a time; so many wait in order as `max_waiting` says.
* *door*: one thread for what came beyond, and for what brought no right key. It answers 429 (503 when draining, or 401)
  in about a millisecond, asking nobody.
* *desk*: two threads for all else (health, metrics, status, documents), which an overload must not keep waiting.

A connection that waits for nothing costs no thread, only a look in each round, so how many there may be is a matter of file descriptors.
"""

from __future__ import annotations

import logging
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.utilities import RequestEntityTooLarge

from ..errors import StartError
from .guard import REFUSAL
from .routes import encodes
from .turn import RECEIVED_AT

logger = logging.getLogger(__name__)

DESK_THREADS = 2
IDLE_CONNECTION_S = 120
"""How long a connection may be silent, or its answer unread, before it is closed."""

ROUND_S = 1.0
"""How often the main thread looks around when nothing happens."""

BUFFER_BYTES = 8 << 20
"""Up to how many bytes a body is kept in memory, and not in a temporary file: an answer to some hundred texts."""

TICKET = 'bert_serving.ticket'
"""In the WSGI environment: the ticket of the request."""

_SPARE_FILES = 256
"""File descriptors that are left for what is not a connection of HTTP."""


class Lane(Enum):
    WORK = 'work'
    DOOR = 'door'
    DESK = 'desk'


def refuse_at_the_door(is_admitted: bool, is_draining: bool, outstanding: int, most_outstanding: int) -> str | None:
    """Why a request that encodes is not to have a place in the work lane, as a kind of fault; None: it is.

    `outstanding` are there, those that are worked on included. Whoever has no key takes no place from one who has.
    """
    if not is_admitted:
        return 'Unauthorized'
    if is_draining:
        return 'ShuttingDown'
    return 'Busy' if outstanding >= most_outstanding else None


def path_of(request: Any) -> str:
    """The path as the app will see it: waitress leaves one slash of those that it begins with."""
    return '/' + str(request.path).lstrip('/')


def _everybody(_authorization: str | None) -> bool:
    return True


class _Ticket:
    """A request on its way through a lane: what waitress's dispatcher takes for a task."""

    def __init__(self, channel: HTTPChannel, lanes: Lanes, lane: Lane) -> None:
        self._channel = channel
        self._lanes = lanes
        self._lane = lane
        self._has_place = True

    def service(self) -> None:
        self._channel.ticket = self
        try:
            self._channel.service()
        finally:
            self._end()

    def cancel(self) -> None:
        self._channel.cancel()
        self._end()

    def give_place_back(self) -> None:
        """The answer is made and about to be written: its caller may have the next request here before we are done."""
        if self._has_place:
            self._has_place = False
            self._lanes.leave(self._lane)

    def _end(self) -> None:
        self.give_place_back()
        self._lanes.end()


class Lanes:
    """What waitress calls its task dispatcher.

    Any thread may add a task: a connection's next request is added by the thread that has served the one before.
    """

    def __init__(self, max_connect: int, max_waiting: int, admits: Callable[[str | None], bool] = _everybody) -> None:
        """`admits` tells whether an `Authorization` header has a right key."""
        self._admits = admits
        self._max_connect = max_connect
        self._most_outstanding = max_connect + max_waiting
        self._dispatchers = {lane: ThreadedTaskDispatcher() for lane in Lane}
        self._outstanding = dict.fromkeys(Lane, 0)
        self._unfinished = 0  # those of which the answer is being written, too
        self._lock = threading.Lock()  # guards the counts

    def start(self) -> None:
        """Start the threads."""
        for lane, threads in ((Lane.WORK, self._max_connect), (Lane.DOOR, 1), (Lane.DESK, DESK_THREADS)):
            self._dispatchers[lane].set_thread_count(threads)

    def add_task(self, channel: HTTPChannel) -> None:
        """A request has been read: the first of `channel`'s."""
        request = channel.requests[0]
        request.received_at = time.monotonic()
        request.refusal = None
        is_encoding = request.error is None and encodes(request.command, path_of(request))
        is_admitted = is_encoding and self._admits(request.headers.get('AUTHORIZATION'))
        with self._lock:
            lane = Lane.DESK
            if is_encoding:
                request.refusal = refuse_at_the_door(
                    is_admitted, channel.server.is_draining, self._outstanding[Lane.WORK], self._most_outstanding
                )  # fmt: skip
                lane = Lane.WORK if request.refusal is None else Lane.DOOR
            self._outstanding[lane] += 1
            self._unfinished += 1
        self._dispatchers[lane].add_task(_Ticket(channel, self, lane))

    def leave(self, lane: Lane) -> None:
        """A request no longer needs its place."""
        with self._lock:
            self._outstanding[lane] -= 1

    def end(self) -> None:
        """A request has been served."""
        with self._lock:
            self._unfinished -= 1

    @property
    def working(self) -> int:
        """Requests that encode and have a thread."""
        return min(self._outstanding[Lane.WORK], self._max_connect)

    @property
    def waiting(self) -> int:
        """Requests that encode and wait for one."""
        return max(0, self._outstanding[Lane.WORK] - self._max_connect)

    @property
    def are_empty(self) -> bool:
        """Whether nothing is being served."""
        return not self._unfinished

    def shutdown(self, *_arguments: Any) -> None:
        """End the threads; one that is still serving is left behind, for the end of the process."""
        for dispatcher in self._dispatchers.values():
            dispatcher.shutdown(cancel_pending=True, timeout=1)


class _Task(WSGITask):  # type: ignore[misc]
    """A request for the app, with what the front door knows of it."""

    def execute(self) -> None:
        if self.request.refusal == 'TooLarge' or self.channel.server.is_draining:
            self.set_close_on_finish()  # the rest of the body is not read; nor is another request, when draining
        super().execute()

    def get_environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = super().get_environment()
        environment[RECEIVED_AT] = self.request.received_at
        environment[TICKET] = self.channel.ticket
        if self.request.refusal is not None:
            environment[REFUSAL] = self.request.refusal
        return environment


def _give_places_back(application: WSGIApplication) -> WSGIApplication:
    """`application`, after which a request leaves its lane. What it returns is whole: only to be written."""

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return application(environ, start_response)
        finally:
            environ[TICKET].give_place_back()

    return call


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. A body that is too large is refused by the app, in the shape of its route, and not by waitress."""

    task_class = _Task

    def service(self) -> None:
        request = self.requests[0]
        if isinstance(request.error, RequestEntityTooLarge):
            request.error = None
            request.refusal = 'TooLarge'
        super().service()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel
    is_draining = False

    def maintenance(self, now: float) -> None:
        """Close what is idle, as waitress does, and what has an answer that nobody reads, even if more was asked for."""
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.total_outbufs_len and channel.last_activity < now - self.adj.channel_timeout:
                channel.handle_close()  # here: a socket that can not be written to has no turn in the loop


class FrontDoor:
    """The listening socket, its connections and the loop that serves them.

    `drain` and `stop` may be called by a signal handler, `round_age_s` by any thread; all else is for the thread that
    calls `run`.
    """

    def __init__(self, application: WSGIApplication, lanes: Lanes, host: str, port: int, max_body: int) -> None:
        """Listens at once, so that the port is known; serves nobody before `run`.

        Raises:
            StartError: `host` is no address of this machine, or the port is taken.
        """
        self._lanes = lanes
        self._map: dict[int, Any] = {}
        self._should_drain = self._should_stop = False
        self._round_at = time.monotonic()
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        adjustments = Adjustments(
            sockets=[listener], connection_limit=_max_connections(), channel_timeout=IDLE_CONNECTION_S,
            max_request_body_size=max_body + 1, inbuf_overflow=BUFFER_BYTES, outbuf_overflow=BUFFER_BYTES, ident='',
            channel_request_lookahead=1,  # or a caller that hangs up is not noticed before its answer is made
            outbuf_high_watermark=sys.maxsize,  # or a caller that does not read would keep the thread that serves it
            cleanup_interval=IDLE_CONNECTION_S // 4,
        )  # fmt: skip
        self._server = _Server(
            _give_places_back(application), self._map, _sock=listener, dispatcher=lanes, adj=adjustments, bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )  # fmt: skip

    @property
    def is_draining(self) -> bool:
        return self._should_drain

    def run(self, drain_s: float) -> None:
        """Serve until `stop`, or until `drain` and then all that has come is answered, or so many seconds are over."""
        self._lanes.start()
        while not self._should_drain and not self._should_stop:
            self._go_round(ROUND_S)
        wasyncore.dispatcher.close(self._server)  # the port, and not the connections
        deadline = time.monotonic() + drain_s
        while not self._should_stop and self._is_busy() and time.monotonic() < deadline:
            self._go_round(0.05)
        if self._is_busy():
            logger.warning('ended with requests that were not answered')

    def _go_round(self, timeout_s: float) -> None:
        self._round_at = time.monotonic()
        wasyncore.loop(timeout_s, use_poll=True, map=self._map, count=1)

    def round_age_s(self) -> float:
        """How long ago the last round of `run` began: some seconds mean that it is stuck."""
        return time.monotonic() - self._round_at

    def close(self) -> None:
        """Close every connection and end the threads."""
        wasyncore.close_all(self._map)
        self._lanes.shutdown()

    def drain(self) -> None:
        """Take no more connections, answer what has come, and end."""
        self._should_drain = self._server.is_draining = True
        self._server.pull_trigger()

    def stop(self) -> None:
        """End at once."""
        self._should_stop = True
        self._server.pull_trigger()

    def _is_busy(self) -> bool:
        return not self._lanes.are_empty or any(
            channel.total_outbufs_len for channel in self._server.active_channels.values()
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError('-http_host: %s is no address to listen on: %s' % (host, error.strerror)) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(
            '-http_port: %s:%d can not be listened on: %s; is another server running there?'
            % (host, port, error.strerror)
        ) from None
    return listener


def _max_connections() -> int:
    """As many connections as this process may have files, of which the system may grant more than it has set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft) - _SPARE_FILES if max(wanted, soft) > 2 * _SPARE_FILES else _SPARE_FILES
