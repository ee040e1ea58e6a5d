"""Watch child processes: pass on their reports, and kill those that hang.

A child sends a heartbeat every second, with the time it has spent on its current piece of work. If it sends no report
for `hang_s` seconds, or works on one piece for longer, the watch kills it. Then it counts as any other dead child.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from ..console.progress import Progress
from ..errors import StartError
from ..transport import Reactor
from .child import Child
from .reports import Exited, Failed, Heartbeat, Leaving, Payload, Placed, Ready, Waiting
from .states import ChildState

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
"""Seconds between two checks for silent children. A late check means that the supervisor was suspended."""

LOADING_TIMEOUT_S = 30.0
"""The minimum silence after which a starting child is killed: while it loads libraries, its other threads cannot run. A
child that a signal has stopped loads nothing, so it gets no extra time."""

SUSPENSION_S = 2.0
"""A longer gap between two checks or heartbeats means that this process or the machine was suspended."""

KILL_TIMEOUT_S = 5.0
"""Seconds that a killed process can take to disappear before it is left to the operating system."""


class ChildFailed(StartError):
    """A child could not start. The message and the exit code are the child's own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class KillCause(Enum):
    """Why the supervisor killed a child. The value is a format for the log, with a number of seconds."""

    NOT_READY = 'was not ready within %.0f s'
    SILENT = 'sent no heartbeat for %.0f s'
    BUSY = 'was busy with one piece of work for %.0f s'


@dataclass(frozen=True, slots=True)
class KillReason:
    """Why and when the supervisor killed a child."""

    cause: KillCause
    seconds: float
    killed_at: float
    """The time of the kill, by `time.monotonic`."""

    def describe(self, name: str) -> str:
        """Return a clause for the log about the child `name`: `SINK sent no heartbeat for 60 s`."""
        return '%s %s' % (name, self.cause.value % self.seconds)


OnExit = Callable[[str, ChildFailed | None], None]


def ignore(*_report: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class ChildCallbacks:
    """The functions to call, in the reactor's rounds, when a child reports.

    `on_exit(how, error)` is only for a child that exits without being told to. `error` is set if the child reported
    that it could not start. `on_stopped()` is for a child that was told to exit. The last four are for a child on
    another machine; `on_machine_lost(how)` replaces `on_exit` for a child that is lost with its machine.
    """

    on_ready: Callable[[Payload], None]
    on_exit: OnExit
    on_heartbeat: Callable[[Payload], None] = ignore
    on_progress: Callable[[Progress], None] = ignore
    on_stopped: Callable[[], None] = ignore
    on_waiting: Callable[[str], None] = ignore
    on_placed: Callable[[Payload], None] = ignore
    on_leaving: Callable[[], None] = ignore
    on_machine_lost: Callable[[str], None] = ignore


@dataclass(slots=True, eq=False)
class _Watched:
    """A child that was started and not yet reaped, and its state."""

    child: Child
    callbacks: ChildCallbacks
    last_heartbeat: float
    """When the child last reported anything, by `time.monotonic`."""
    suspended_s: float = 0.0
    """Seconds for which the child was suspended during its current piece of work."""
    was_ready: bool = False
    error: Failed | None = None
    """The error that the child reported before it exited."""
    kill_reason: KillReason | None = None


class ChildWatch:
    """Watches the children of one server. For the reactor's thread only."""

    def __init__(self, reactor: Reactor, hang_s: float) -> None:
        self._reactor = reactor
        self._hang_s = hang_s
        self._watched: dict[Child, _Watched] = {}
        self._unkillable: list[Child] = []
        self._last_check = time.monotonic()

    def __len__(self) -> int:
        """Return the number of children that have been started and not yet reaped."""
        return len(self._watched)

    def launch(self, child: Child, callbacks: ChildCallbacks) -> None:
        """Start `child` and watch it until it exits.

        Raises:
            OSError: the operating system cannot start a process.
        """
        child.start()
        logger.debug('started %s pid=%s', child.name, child.pid)
        watched = self._watched[child] = _Watched(child, callbacks, last_heartbeat=time.monotonic())
        self._reactor.add(child.fileno(), lambda: self._on_reports(watched))

    def _on_reports(self, watched: _Watched) -> None:
        child, callbacks = watched.child, watched.callbacks
        report_fd = child.fileno()
        for report in child.read_reports():
            now = time.monotonic()
            gap_s, watched.last_heartbeat = now - watched.last_heartbeat, now
            match report:
                case Ready(payload):
                    watched.was_ready = True
                    callbacks.on_ready(payload)
                case Heartbeat(payload):
                    callbacks.on_heartbeat(payload)
                    self._check_busy_time(watched, payload.get('busy_s', 0.0), gap_s)
                case Progress():
                    callbacks.on_progress(report)
                case Failed():
                    watched.error = report
                case Waiting(resources):
                    callbacks.on_waiting(resources)
                case Placed(place):
                    callbacks.on_placed(place)
                case Leaving():
                    callbacks.on_leaving()
                case Exited():
                    self._forget(watched, report_fd)
                    if report.expected:
                        callbacks.on_stopped()
                    elif report.is_machine_lost and watched.kill_reason is None:
                        callbacks.on_machine_lost(report.how)
                    else:
                        callbacks.on_exit(*_explain_exit(watched, report))
                case _:
                    assert_never(report)

    def _forget(self, watched: _Watched, report_fd: int) -> None:
        self._reactor.remove(report_fd)
        del self._watched[watched.child]

    def tick(self) -> None:
        """Kill the children that hang. Call it every `CHECK_INTERVAL_S`."""
        now = time.monotonic()
        since_last, self._last_check = now - self._last_check, now
        if since_last > SUSPENSION_S:  # the reports since then are still unread
            for watched in self._watched.values():
                watched.last_heartbeat = now
        for watched in list(self._watched.values()):
            self._check_silence(watched, now)
            if watched.kill_reason is not None and now - watched.kill_reason.killed_at > KILL_TIMEOUT_S:
                self._give_up_killing(watched, watched.kill_reason)

    def _check_silence(self, watched: _Watched, now: float) -> None:
        silent_s = now - watched.last_heartbeat
        if silent_s <= self._hang_s or watched.child.state is ChildState.WAITING:
            return
        is_loading = watched.child.state is ChildState.STARTING and not watched.child.is_stopped
        if not is_loading or silent_s > LOADING_TIMEOUT_S:
            self.kill_hung(watched.child, KillCause.SILENT, silent_s)

    def _check_busy_time(self, watched: _Watched, busy_s: float, gap_s: float) -> None:
        """Kill a child that is busy with one piece for too long. `gap_s` is the time between its last two reports."""
        if gap_s > SUSPENSION_S:
            watched.suspended_s += gap_s
        if busy_s < watched.suspended_s:  # it has begun another piece since then
            watched.suspended_s = 0.0
        if busy_s - watched.suspended_s > self._hang_s:
            self.kill_hung(watched.child, KillCause.BUSY, busy_s)

    def kill_hung(self, child: Child, cause: KillCause, seconds: float) -> None:
        """Kill a child that was not told to stop, and report its exit as a loss."""
        watched = self._watched[child]
        if child.state in (ChildState.STARTING, ChildState.READY) and watched.kill_reason is None:
            watched.kill_reason = KillReason(cause, seconds, killed_at=time.monotonic())
            child.kill(expected=False)

    def _give_up_killing(self, watched: _Watched, reason: KillReason) -> None:
        """Report a process as lost if it does not exit when killed, for example because a driver hangs.

        A child on an unreachable node often exits later, and the watch then closes its pipe.
        """
        child, report_fd = watched.child, watched.child.fileno()
        self._forget(watched, report_fd)
        self._unkillable.append(child)
        self._reactor.add(report_fd, lambda: self._on_late_reports(child, report_fd))
        if child.state is not ChildState.STOPPING:
            watched.callbacks.on_exit('%s but could not be killed' % reason.describe(child.name), None)

    def _on_late_reports(self, child: Child, report_fd: int) -> None:
        if any(isinstance(report, Exited) for report in child.read_reports()):
            self._reactor.remove(report_fd)
            self._unkillable.remove(child)

    def kill_all(self) -> None:
        """Kill and reap every child, without reading its last reports."""
        for child in (*self._watched, *self._unkillable):
            self._reactor.remove(child.fileno())
            child.kill(expected=True)  # all of them before waiting for one: a cluster can take seconds for each
        for child in self._watched:
            child.kill_and_reap(KILL_TIMEOUT_S)
        self._watched.clear()
        for child in self._unkillable:
            child.kill_and_reap(0)


def _explain_exit(watched: _Watched, exited: Exited) -> tuple[str, ChildFailed | None]:
    """Return the cause of an unexpected exit, and the child's error if it reported that it could not start."""
    name, error, reason = watched.child.name, watched.error, watched.kill_reason
    how = exited.how if reason is None else '%s; killed' % reason.describe(name)
    if error is None:
        return how, None
    failure = None if watched.was_ready else ChildFailed('%s: %s' % (name, error.message), error.exit_code)
    return '%s (%s)' % (how, error.message), failure
