"""Supervision of child processes: start them, restart them when they die, and end them.

Runs in the thread of `BertServer`, in the parent process. The supervisor knows processes and nothing of messages: its
callers decide what the readiness or the loss of a child means for the ring. `supervise` keeps a child running in a
`ChildSlot`; `run_to_end` runs a child that does one thing and exits. `watch.py` kills the children that hang.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..console.formatting import format_duration
from ..console.progress import ProgressDisplay
from ..descriptors import NONE_LEFT
from ..errors import ServingError, StartError
from ..transport import Reactor
from .child import Child
from .reports import Payload
from .restarts import Restarts
from .states import ChildState, SlotEvent, SlotState, advance_slot
from .watch import ChildCallbacks, ChildFailed, ChildWatch, KillCause, OnExit, ignore

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 900.0
"""How long a child in a slot may take to become ready."""


POSTPONED_S = 1.0
"""The pause before another start if no file descriptor was left for this one."""


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
    on_heartbeat: Callable[[Payload], None] = ignore
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


class Supervisor:
    """Starts, restarts and ends the children of one server. Used by the one thread that runs the reactor."""

    def __init__(self, reactor: Reactor, hang_s: float) -> None:
        """`hang_s` is how long a child may be silent, or work on one piece of work, before it is killed."""
        self._reactor = reactor
        self._watch = ChildWatch(reactor, hang_s)
        self._slots: list[ChildSlot] = []

    @property
    def num_process(self) -> int:
        """Children that have been started and not yet reaped."""
        return len(self._watch)

    def tick(self) -> None:
        """Restart the children whose pause is over, and kill those that hang. Call it every `CHECK_INTERVAL_S`."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.start_at is not None and now >= slot.start_at:
                slot.state = advance_slot(slot.state, SlotEvent.RESTART_DUE)
                self._start(slot)
            elif slot.child is not None and slot.state is SlotState.STARTING and now - slot.since > START_TIMEOUT_S:
                self._watch.kill_hung(slot.child, KillCause.NOT_READY, START_TIMEOUT_S)
        self._watch.tick()

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
        self._watch.launch(child, callbacks)
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

    # ---- slots

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
            self._watch.launch(child, ChildCallbacks(on_ready, on_exit, slot.on_heartbeat))
        except OSError as error:  # no process or file descriptor is left in the system, say
            how = '%s could not be started: %s' % (child.name, error)
            if error.errno in NONE_LEFT and slot.restarts.was_ready:
                self._postpone(slot, how)
            else:
                self._on_loss(slot, how, None)

    def _postpone(self, slot: ChildSlot, how: str) -> None:
        """Try again later to start the child of `slot`. Files come back, so it does not count as a failed start."""
        slot.child = None
        slot.state = advance_slot(slot.state, SlotEvent.CHILD_LOST)
        slot.start_at = time.monotonic() + POSTPONED_S
        logger.error('%s; it is started again in %.1f s', how, POSTPONED_S)

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

    # ---- the end

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
        self._watch.kill_all()
