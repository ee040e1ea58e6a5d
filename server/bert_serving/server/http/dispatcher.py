"""Three request queues, each with its own threads, to refuse overload immediately and always answer probes.

* *encode*: encoding requests. `max_connect` threads serve them, or `max_small` if that is more, and at most
  `max_waiting` more wait. Some of the threads serve only small requests (`lanes.py`).
* *refusal*: malformed requests, and requests that the encode queue rejects. One thread answers each (429, 503 while
  draining, 401, 400, 413 and so on) in about a millisecond, without asking the server.
* *control*: everything else (health, metrics, status, models, documents). It has two threads, which overload cannot
  occupy.
"""

from __future__ import annotations

import threading
import time
from enum import Enum
from typing import Any
from wsgiref.types import WSGIApplication

from ..security.principals import Principal
from .admission import HOLDING, PRINCIPAL, REFUSAL
from .authentication import Authenticator
from .backend_call import IS_GONE, RECEIVED_AT
from .connections import WriteBudget
from .errors import HTTPError, make_refusal
from .lanes import SMALL_BODY_BYTES, SMALL_STRINGS, LargeLane
from .routes import encodes, grants_of
from .waitress_adapter import PendingRequest, ThreadPool

REFUSAL_THREADS = 1
CONTROL_THREADS = 2

RESERVE = 'bert_serving.reserve'
"""The key in the WSGI environment of `reserve(size)`, which returns whether there is room for a response of that
size."""

_TASK = 'bert_serving.task'
"""The key in the WSGI environment of the request's `_Task`."""


class Queue(Enum):
    """The queue in which a request waits for a thread."""

    ENCODE = 'encode'
    REFUSAL = 'refusal'
    CONTROL = 'control'


def refusal_kind(
    is_admitted: bool, is_draining: bool, outstanding: int, max_outstanding: int, is_unread: bool = False
) -> str | None:
    """Return the kind of error to refuse an encoding request with, or None if the encode queue accepts it.

    `outstanding` is the number of requests that are in the queue or being served. The check of the key comes first, so
    that requests without a key take no place. `is_unread` means that there is no room for more responses.
    """
    if not is_admitted:
        return 'Unauthorized'
    if is_draining:
        return 'ShuttingDown'
    if is_unread:
        return 'ResponsesUnread'
    return 'Busy' if outstanding >= max_outstanding else None


def release_place_after(application: WSGIApplication) -> WSGIApplication:
    """Wrap `application` so that a request leaves its queue when its response is made, before it is written.

    So the client's next request, which can arrive before the thread has finished this one, finds the place free.
    """

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return application(environ, start_response)
        finally:
            environ[_TASK].release_place()

    return call


class _Task:
    """A request in a queue."""

    __slots__ = (
        '_dispatcher',
        '_has_place',
        '_is_large',
        '_principal',
        '_queue',
        '_received_at',
        '_refusal',
        '_request',
        '_reserved',
    )

    def __init__(
        self,
        request: PendingRequest,
        dispatcher: Dispatcher,
        queue: Queue,
        received_at: float,
        refusal: HTTPError | None,
        principal: Principal | None,
        is_large: bool,
    ) -> None:
        self._request = request
        self._is_large = is_large
        self._dispatcher = dispatcher
        self._queue = queue
        self._received_at = received_at
        self._refusal = refusal
        self._principal = principal
        self._has_place = True
        self._reserved = 0

    def service(self) -> None:
        environ = {RECEIVED_AT: self._received_at, IS_GONE: self._request.is_gone, RESERVE: self._reserve, _TASK: self}
        environ[HOLDING] = self._request.holding
        if self._principal is not None:
            environ[PRINCIPAL] = self._principal
        if self._refusal is not None:
            environ[REFUSAL] = self._refusal
        try:
            self._request.serve(environ)
        finally:
            self._finish()

    def _reserve(self, size: int) -> bool:
        budget = self._dispatcher.write_budget
        if budget is None or not budget.reserve(size):
            return budget is None
        self._reserved += size
        return True

    def cancel(self) -> None:
        self._request.cancel()
        self._finish()

    def release_place(self) -> None:
        if self._has_place:
            self._has_place = False
            self._dispatcher.release(self._queue, self._is_large)

    def _finish(self) -> None:
        self.release_place()
        if self._reserved and self._dispatcher.write_budget is not None:
            self._dispatcher.write_budget.release(self._reserved)
        self._dispatcher.finish()


class Dispatcher:
    """Puts each request into its queue. Thread-safe."""

    def __init__(
        self, max_connect: int, max_waiting: int, authenticator: Authenticator | None = None, max_small: int = 0
    ) -> None:
        """`authenticator` has the keys. Without it, requests need none."""
        self.write_budget: WriteBudget | None = None
        """The budget for unwritten responses. The frontend sets it."""
        self._authenticator = authenticator or Authenticator()
        self.threads = max(max_connect, max_small)
        """Those that serve requests that encode."""
        self._max_outstanding = self.threads + max_waiting
        self._threads = {Queue.ENCODE: self.threads, Queue.REFUSAL: REFUSAL_THREADS, Queue.CONTROL: CONTROL_THREADS}
        self._pools = {queue: ThreadPool() for queue in Queue}
        self._large: LargeLane[_Task] = LargeLane(max_connect)
        self._is_draining = False
        self._lock = threading.Lock()  # guards the counts
        self._outstanding = dict.fromkeys(Queue, 0)
        self._unfinished = 0  # including requests whose response is being written

    def start(self) -> None:
        """Start the threads."""
        for queue, threads in self._threads.items():
            self._pools[queue].start(threads)

    def drain(self) -> None:
        """Refuse encoding requests from now on."""
        self._is_draining = True

    def submit(self, request: PendingRequest) -> None:
        """Put `request` into its queue, and start its time limit."""
        received_at = time.monotonic()
        refusal = request.error
        is_encoding = refusal is None and encodes(request.method, request.path)
        admitted = self._admit(request) if is_encoding else None
        principal = admitted if isinstance(admitted, Principal) else None
        is_unread = is_encoding and self.write_budget is not None and self.write_budget.is_full
        is_large = principal is not None and not request.is_small(SMALL_BODY_BYTES, SMALL_STRINGS)
        with self._lock:
            queue = Queue.CONTROL if refusal is None else Queue.REFUSAL
            if is_encoding:
                outstanding = self._outstanding[Queue.ENCODE]
                kind = refusal_kind(
                    principal is not None, self._is_draining, outstanding, self._max_outstanding, is_unread
                )
                refusal = None if kind is None else make_refusal(kind)
                if isinstance(admitted, HTTPError):
                    refusal = admitted
                queue = Queue.ENCODE if kind is None else Queue.REFUSAL
            self._outstanding[queue] += 1
            self._unfinished += 1
            is_large = is_large and queue is Queue.ENCODE
            task = _Task(request, self, queue, received_at, refusal, principal, is_large)
            ready = self._large.enter(task) if is_large else task
        if ready is not None:
            self._pools[queue].submit(ready)

    def _admit(self, request: PendingRequest) -> Principal | HTTPError:
        grants = grants_of(request.method, request.path)
        try:
            return self._authenticator.admit(request.authorization, request.address, grants, request.holding)
        except HTTPError as error:
            return error

    def release(self, queue: Queue, is_large: bool) -> None:
        """Free the place of a request in `queue`. After a large request, the next large one can start."""
        with self._lock:
            self._outstanding[queue] -= 1
            following = self._large.leave() if is_large else None
        if following is not None:
            self._pools[queue].submit(following)

    def finish(self) -> None:
        """Record that a request was served."""
        with self._lock:
            self._unfinished -= 1

    @property
    def working(self) -> int:
        """The number of encoding requests with a thread."""
        return min(self._outstanding[Queue.ENCODE] - self._large.waiting, self.threads)

    @property
    def waiting(self) -> int:
        """The number of encoding requests that wait for a thread."""
        return max(0, self._outstanding[Queue.ENCODE] - self.working)

    @property
    def is_idle(self) -> bool:
        """Whether no request is waiting or being served."""
        return not self._unfinished

    def shutdown(self) -> None:
        """End the threads and cancel the requests that wait."""
        with self._lock:
            waiting = self._large.clear()
        for task in waiting:
            task.cancel()
        for pool in self._pools.values():
            pool.shutdown()
