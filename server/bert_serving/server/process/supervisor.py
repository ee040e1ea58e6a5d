"""Supervision of child processes: start them, watch them, restart them, and end them.

Runs in the thread of `BertServer`, in the parent process. The supervisor knows processes and nothing of messages: its
callers decide what the readiness or the loss of a child means for the ring. `supervise` keeps a child running in a
`ChildSlot`; `run_to_end` runs a child that does one thing and exits.

A child reports every second that it is alive, and for how long it has worked on its current piece of work. The
supervisor kills a child that sends no report for `hang_s` seconds, or works on one piece for longer than that; then it
is treated like any other child that has died.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, assert_never

from ..console.formatting import format_duration
from ..console.progress import Progress, ProgressDisplay
from ..errors import ServingError, StartError
from ..transport import Reactor
from .child import Child
from .reports import Exited, Failed, Heartbeat, Payload, Ready
from .restarts import Restarts
from .states import ChildState, SlotEvent, SlotState, advance_slot

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5
"""How often the supervisor checks for silent children. A check that comes late means that the supervisor was suspended."""

START_TIMEOUT_S = 900.0
"""How long a child in a slot may take to become ready."""

LOADING_TIMEOUT_S = 30.0
"""The least silence for which a starting child is killed: while it loads libraries, its other threads cannot run. A
child that a signal has stopped loads nothing, so it gets no longer than any other."""

SUSPENSION_S = 2.0
"""A longer gap between two checks or heartbeats means that this process or the machine was suspended."""

KILL_TIMEOUT_S = 5.0
"""How long a killed process may take to disappear before it is left to the operating system."""


class ChildFailed(StartError):
    """A child could not start; the message is the child's own, and so is the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class KillCause(Enum):
    """Why the supervisor killed a child; the value is a text for the log, with a number of seconds."""

    NOT_READY = 'was not ready within %.0f s'
    SILENT = 'sent no heartbeat for %.0f s'
    BUSY = 'was busy with one piece of work for %.0f s'


@dataclass(frozen=True, slots=True)
class KillReason:
    """Why and when the supervisor killed a child."""

    cause: KillCause
    seconds: float
    killed_at: float
    """By `time.monotonic`."""

    def describe(self, name: str) -> str:
        """Return a clause for the log about the child `name`: `SINK sent no heartbeat for 60 s`."""
        return '%s %s' % (name, self.cause.value % self.seconds)


OnExit = Callable[[str, ChildFailed | None], None]


def _ignore(_report: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class ChildCallbacks:
    """What the supervisor calls in the reactor's rounds when a child reports.

    `on_exit(how, error)` is called only for a child that exits without having been told to; `error` is set if the child
    reported that it could not start.
    """

    on_ready: Callable[[Payload], None]
    on_exit: OnExit
    on_heartbeat: Callable[[Payload], None] = _ignore
    on_progress: Callable[[Progress], None] = _ignore


@dataclass(slots=True, eq=False)
class ChildSlot:
    """A place for a child that is restarted when it dies.

    `spawn` makes a child, not yet started. `on_ready(payload)`, `on_heartbeat(payload)` and `on_lost(how, error)` are
    called in the reactor's rounds; `error` is set if the child reported that it could not start. `on_given_up(how)` is
    called after the last `on_lost`, when too many starts in a row have failed and the slot stays empty.
    """

    spawn: Callable[[], Child]
    on_ready: Callable[[Payload], None]
    on_lost: OnExit
    on_given_up: Callable[[str], None]
    on_heartbeat: Callable[[Payload], None] = _ignore
    restarts: Restarts = field(default_factory=Restarts)
    child: Child | None = None
    state: SlotState = SlotState.STARTING
    since: float = 0.0
    """When the current start began, by `time.monotonic`."""
    start_at: float | None = None
    """When the next child is to be started; None while there is one, or none is wanted."""

    def describe(self) -> dict[str, Any]:
        """Return the slot's entries in the status."""
        return {
            'state': self.state.value,
            'pid': None if self.child is None else self.child.pid,
            'restarts': self.restarts.count,
        }


@dataclass(slots=True, eq=False)
class _Watched:
    """A child that has been started and not yet reaped, and what is known of it."""

    child: Child
    callbacks: ChildCallbacks
    last_heartbeat: float
    """When the child last reported anything, by `time.monotonic`."""
    suspended_s: float = 0.0
    """For how long the child was suspended during its current piece of work."""
    was_ready: bool = False
    error: Failed | None = None
    """What the child reported before it exited."""
    kill_reason: KillReason | None = None


class Supervisor:
    """Watches the children of one server. Used by the one thread that runs the reactor."""

    def __init__(self, reactor: Reactor, hang_s: float) -> None:
        self._reactor = reactor
        self._hang_s = hang_s
        self._watched: dict[Child, _Watched] = {}
        self._slots: list[ChildSlot] = []
        self._unkillable: list[Child] = []
        self._last_check = time.monotonic()

    @property
    def num_process(self) -> int:
        """Children that have been started and not yet reaped."""
        return len(self._watched)

    # One child -------------------------------------------------------------------------------------------------------

    def launch(self, child: Child, callbacks: ChildCallbacks) -> None:
        """Start `child` and watch it until it exits.

        Raises:
            OSError: the operating system cannot start a process.
        """
        child.start()
        logger.debug('started %s pid=%s', child.name, child.pid)
        watched = self._watched[child] = _Watched(child, callbacks, last_heartbeat=time.monotonic())
        self._reactor.add(child.fileno(), lambda: self._on_reports(watched))

    def run_to_end(self, child: Child, interrupted: Callable[[], bool], display: ProgressDisplay) -> Payload | None:
        """Start `child`, run the reactor until it has exited, and return its payload; None if `interrupted`.

        `display` shows its progress meanwhile.

        Raises:
            ChildFailed: it reported that it could not do its work.
            StartError: it died.
        """
        payload: Payload = {}
        ended: list[ServingError] = []
        callbacks = ChildCallbacks(
            on_ready=payload.update,
            on_exit=lambda how, error: ended.append(error or StartError(how)),
            on_progress=display.show,
        )
        self.launch(child, callbacks)
        try:
            while not ended and not interrupted():
                self._reactor.run_once(timeout_ms=100)
                self.tick()
                display.refresh()
        finally:
            display.end()
        if not ended:
            return None
        if not payload:
            raise ended[0]
        return payload

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
                case Exited():
                    self._forget(watched, report_fd)
                    if not report.expected:
                        callbacks.on_exit(*_explain_exit(watched, report))
                case _:
                    assert_never(report)

    def _forget(self, watched: _Watched, report_fd: int) -> None:
        self._reactor.remove(report_fd)
        del self._watched[watched.child]

    # Slots -----------------------------------------------------------------------------------------------------------

    def supervise(self, slot: ChildSlot) -> None:
        """Start a child in `slot`, and another one whenever that has died."""
        self._slots.append(slot)
        self._start(slot)

    def _start(self, slot: ChildSlot) -> None:
        def on_ready(payload: Payload) -> None:
            now = time.monotonic()
            logger.info('%s is ready (%s)', child.name, format_duration(now - slot.since))
            slot.restarts.became_ready(now)
            slot.state = advance_slot(slot.state, SlotEvent.CHILD_READY)
            slot.on_ready(payload)

        def on_exit(how: str, error: ChildFailed | None) -> None:
            self._on_loss(slot, how, error)

        slot.since, slot.start_at = time.monotonic(), None
        child = slot.child = slot.spawn()
        try:
            self.launch(child, ChildCallbacks(on_ready, on_exit, slot.on_heartbeat))
        except OSError as error:  # no process or file descriptor is left in the system, say
            self._on_loss(slot, '%s could not be started: %s' % (child.name, error), None)

    def _on_loss(self, slot: ChildSlot, how: str, error: ChildFailed | None) -> None:
        now = time.monotonic()
        pause_s = slot.restarts.died(now)
        slot.child = None
        if pause_s is None:
            slot.state = advance_slot(slot.state, SlotEvent.GIVEN_UP)
        else:
            slot.state = advance_slot(slot.state, SlotEvent.CHILD_LOST)
            slot.start_at = now + pause_s
        slot.on_lost(how, error)
        if pause_s is None:
            slot.on_given_up('%s; %d starts have failed' % (how, slot.restarts.failed_starts))
        else:
            logger.error('%s; it is started again in %.1f s', how, pause_s)

    @property
    def next_start(self) -> float | None:
        """When the next child is to be started, by `time.monotonic`; None if none is."""
        return min((slot.start_at for slot in self._slots if slot.start_at is not None), default=None)

    # Time ------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Restart the children whose pause is over, and kill those that hang. Call it every `CHECK_INTERVAL_S`."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.start_at is not None and now >= slot.start_at:
                slot.state = advance_slot(slot.state, SlotEvent.RESTART_DUE)
                self._start(slot)
            elif slot.child is not None and slot.state is SlotState.STARTING and now - slot.since > START_TIMEOUT_S:
                self._kill_hung(self._watched[slot.child], KillCause.NOT_READY, START_TIMEOUT_S)
        since_last, self._last_check = now - self._last_check, now
        if since_last > SUSPENSION_S:  # what the children reported meanwhile is still unread
            for watched in self._watched.values():
                watched.last_heartbeat = now
        for watched in list(self._watched.values()):
            self._check_silence(watched, now)
            if watched.kill_reason is not None and now - watched.kill_reason.killed_at > KILL_TIMEOUT_S:
                self._give_up_killing(watched, watched.kill_reason)

    def _check_silence(self, watched: _Watched, now: float) -> None:
        silent_s = now - watched.last_heartbeat
        if silent_s <= self._hang_s:
            return
        is_loading = watched.child.state is ChildState.STARTING and not watched.child.is_stopped
        if not is_loading or silent_s > LOADING_TIMEOUT_S:
            self._kill_hung(watched, KillCause.SILENT, silent_s)

    def _check_busy_time(self, watched: _Watched, busy_s: float, gap_s: float) -> None:
        """Kill a child that works on one piece for too long; `gap_s` is the time between its last two reports."""
        if gap_s > SUSPENSION_S:
            watched.suspended_s += gap_s
        if busy_s < watched.suspended_s:  # it has begun another piece since
            watched.suspended_s = 0.0
        if busy_s - watched.suspended_s > self._hang_s:
            self._kill_hung(watched, KillCause.BUSY, busy_s)

    def _kill_hung(self, watched: _Watched, cause: KillCause, seconds: float) -> None:
        """Kill a child that has not been told to stop; its exit is reported as a loss."""
        if watched.child.state in (ChildState.STARTING, ChildState.READY) and watched.kill_reason is None:
            watched.kill_reason = KillReason(cause, seconds, killed_at=time.monotonic())
            watched.child.kill(expected=False)

    def _give_up_killing(self, watched: _Watched, reason: KillReason) -> None:
        """Count a process as lost that does not end when killed, because a driver hangs, say."""
        child = watched.child
        self._forget(watched, child.fileno())
        self._unkillable.append(child)
        if child.state is not ChildState.STOPPING:
            watched.callbacks.on_exit('%s but could not be killed' % reason.describe(child.name), None)

    # The end ---------------------------------------------------------------------------------------------------------

    def are_alive(self, children: Iterable[Child]) -> bool:
        """Return whether any of `children` is not yet reaped."""
        return any(child.state is not ChildState.GONE for child in children)

    def release(self, slots: Iterable[ChildSlot]) -> list[Child]:
        """Stop supervising `slots` and return the children that are still in them.

        From now on their exit is expected. A child that is not ready, and so cannot be told to stop, is killed.
        """
        children = []
        for slot in slots:
            self._slots.remove(slot)
            slot.start_at = None
            if slot.child is not None:
                children.append(slot.child)
        for child in children:
            if child.state is ChildState.STARTING:
                child.kill(expected=True)
            elif child.state is ChildState.READY:
                child.expect_exit()
        return children

    def kill(self, children: Iterable[Child]) -> None:
        """Kill `children`; they are reaped in the next rounds of the reactor."""
        for child in children:
            child.kill(expected=True)

    def kill_all(self) -> None:
        """Kill and reap every child, without reading its last reports."""
        for child in self._watched:
            self._reactor.remove(child.fileno())
            child.kill_and_reap(KILL_TIMEOUT_S)
        self._watched.clear()
        for child in self._unkillable:
            child.kill_and_reap(0)


def _explain_exit(watched: _Watched, exited: Exited) -> tuple[str, ChildFailed | None]:
    """Return how an unexpected exit came about, and the child's own error if that kept it from becoming ready."""
    name, error, reason = watched.child.name, watched.error, watched.kill_reason
    how = exited.how if reason is None else '%s; killed' % reason.describe(name)
    if error is None:
        return how, None
    failure = None if watched.was_ready else ChildFailed('%s: %s' % (name, error.message), error.exit_code)
    return '%s (%s)' % (how, error.message), failure
