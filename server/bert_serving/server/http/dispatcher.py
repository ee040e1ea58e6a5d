"""Three lanes for requests that have been read, so that an overload is refused at once and a probe is answered.

What waitress calls a task dispatcher; `door` has the connections.

* *work*: requests that encode, `max_connect` at a time; so many wait in order as `max_waiting` says.
* *door*: one thread for what came beyond, what brought no right key and what cannot be read. It answers 429 (503 when
  draining, 401, 400, 413 and so on) in about a millisecond, asking nobody.
* *desk*: two threads for all else (health, metrics, status, documents), which an overload must not keep waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ThreadedTaskDispatcher

from .errors import make_refusal
from .routes import encodes

DESK_THREADS = 2


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
            lane = Lane.DESK if request.error is None else Lane.DOOR
            if is_encoding:
                kind = refuse_at_the_door(
                    is_admitted, channel.server.is_draining, self._outstanding[Lane.WORK], self._most_outstanding
                )  # fmt: skip
                request.refusal = None if kind is None else make_refusal(kind)
                lane = Lane.WORK if kind is None else Lane.DOOR
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
