"""Supervision of child processes: start them, restart them when they die, and end them.

Runs in the thread of `BertServer`, in the parent process. The supervisor knows processes, not messages: its callers
decide what a ready or lost child means for the ring. `supervise` keeps a child running in a `ChildSlot`. `run_to_end`
runs a child that does one thing and exits. `watch.py` kills hanging children.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
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
"""Seconds that a child in a slot can take to become ready."""


POSTPONED_S = 1.0
"""Seconds before another attempt if no file descriptor was left for this one."""


@dataclass(slots=True, eq=False)
class ChildSlot:
    """The place of a child that the supervisor restarts when it dies.

    `spawn` makes a child without starting it. The reactor's rounds call `on_ready(payload)`, `on_heartbeat(payload)`
    and `on_lost(how, error)`; `error` is set if the child reported that it could not start. `on_given_up(how)` follows
    the last `on_lost` if too many starts in a row have failed and the slot stays empty. `on_leaving()` is called when
    the child has to leave its machine, and `on_moved()` after it has left, before the next start.
    `on_machine_lost(how)` replaces `on_lost` if the child is lost with its machine.
    """

    spawn: Callable[[], Child]
    on_ready: Callable[[Payload], None]
    on_lost: OnExit
    on_given_up: Callable[[str], None]
    on_heartbeat: Callable[[Payload], None] = ignore
    on_leaving: Callable[[], None] = ignore
    on_moved: Callable[[], None] = ignore
    on_machine_lost: Callable[[str], None] = ignore
    restarts: Restarts = field(default_factory=Restarts)
    child: Child | None = None
    state: SlotState = SlotState.STARTING
    since: float = 0.0
    """The time of the current start, by `time.monotonic`."""
    start_at: float | None = None
    """The time of the next start, or None while a child is running or none is wanted."""
    place: Payload = field(default_factory=dict)
    """The node of the child, or the resources that it waits for, if a cluster places it on another machine."""

    def describe(self) -> dict[str, Any]:
        """Return the slot's entries in the status."""
        return {
            'state': self.state.value,
            'pid': None if self.child is None else self.child.pid,
            'restarts': self.restarts.count,
            **self.place,
        }


class Supervisor:
    """Starts, restarts and ends the children of one server. For the reactor's thread only."""

    def __init__(self, reactor: Reactor, hang_s: float) -> None:
        """`hang_s` is how long a child can be silent, or busy with one piece of work, before it is killed."""
        self._reactor = reactor
        self._watch = ChildWatch(reactor, hang_s)
        self._slots: list[ChildSlot] = []

    @property
    def num_process(self) -> int:
        """The number of children that were started and not yet reaped."""
        return len(self._watch)

    def tick(self) -> None:
        """Start the children whose pause is over, and kill hanging children. Call it every `CHECK_INTERVAL_S`."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.start_at is not None and now >= slot.start_at:
                slot.state = advance_slot(slot.state, SlotEvent.RESTART_DUE)
                self._start(slot)
            elif slot.child is not None and slot.state is SlotState.STARTING and now - slot.since > START_TIMEOUT_S:
                self._watch.kill_hung(slot.child, KillCause.NOT_READY, START_TIMEOUT_S)
        self._watch.tick()

    def run_to_end(self, child: Child, interrupted: Callable[[], bool], display: ProgressDisplay) -> Payload | None:
        """Start `child`, run the reactor until the child has exited, and return its payload, or None if `interrupted`.

        `display` shows the progress of the child.

        Raises:
            ChildFailed: the child reported that it could not do its work.
            StartError: the child died.
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
        """Start a child in `slot`, and a new one whenever it dies."""
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
            self._on_loss(slot, how, partial(slot.on_lost, how, error))

        def on_machine_lost(how: str) -> None:
            self._on_loss(slot, how, partial(slot.on_machine_lost, how))

        def on_waiting(resources: str) -> None:
            logger.info('%s waits for resources: %s', child.name, resources)
            slot.state, slot.place = advance_slot(slot.state, SlotEvent.CHILD_WAITS), {'waits_for': resources}

        def on_placed(place: Payload) -> None:
            logger.info('%s was placed node=%s address=%s', child.name, place['node'], place['address'])
            slot.since = time.monotonic()
            slot.state, slot.place = advance_slot(slot.state, SlotEvent.CHILD_PLACED), place

        slot.since, slot.start_at = time.monotonic(), None
        child = slot.child = slot.spawn()
        try:
            self._watch.launch(
                child,
                ChildCallbacks(
                    on_ready,
                    on_exit,
                    slot.on_heartbeat,
                    on_stopped=lambda: self._on_stopped(slot),
                    on_waiting=on_waiting,
                    on_placed=on_placed,
                    on_leaving=slot.on_leaving,
                    on_machine_lost=on_machine_lost,
                ),
            )
        except OSError as error:  # no process or file descriptor is left in the system, say
            how = '%s could not be started: %s' % (child.name, error)
            if error.errno in NONE_LEFT and slot.restarts.was_ready:
                self._postpone(slot, how)
            else:
                self._on_loss(slot, how, partial(slot.on_lost, how, None))

    def _postpone(self, slot: ChildSlot, how: str) -> None:
        """Retry the start of `slot` later. Descriptors become free again, so this does not count as a failed start."""
        slot.child = None
        slot.state = advance_slot(slot.state, SlotEvent.CHILD_LOST)
        slot.start_at = time.monotonic() + POSTPONED_S
        logger.error('%s; it is started again in %.1f s', how, POSTPONED_S)

    def _on_loss(self, slot: ChildSlot, how: str, tell: Callable[[], None]) -> None:
        now = time.monotonic()
        pause_s = slot.restarts.died(now)
        slot.child, slot.place = None, {}
        if pause_s is None:
            slot.state = advance_slot(slot.state, SlotEvent.GIVEN_UP)
        else:
            slot.state = advance_slot(slot.state, SlotEvent.CHILD_LOST)
            slot.start_at = now + pause_s
        tell()
        if pause_s is None:
            slot.on_given_up('%s; %d starts have failed' % (how, slot.restarts.failed_starts))
        else:
            logger.error('%s; it is started again in %.1f s', how, pause_s)

    def _on_stopped(self, slot: ChildSlot) -> None:
        """Start another child in a supervised `slot` whose child has left its machine."""
        if slot not in self._slots:
            return
        slot.child, slot.place = None, {}
        slot.state = advance_slot(slot.state, SlotEvent.CHILD_LOST)
        slot.start_at = time.monotonic()
        slot.on_moved()

    @property
    def next_start(self) -> float | None:
        """The earliest time of the next start, by `time.monotonic`, or None if no start is planned."""
        return min((slot.start_at for slot in self._slots if slot.start_at is not None), default=None)

    # ---- the end

    def are_alive(self, children: Iterable[Child]) -> bool:
        """Return whether any of `children` is not yet reaped."""
        return any(child.state is not ChildState.GONE for child in children)

    def release(self, slots: Iterable[ChildSlot]) -> list[Child]:
        """Stop supervising `slots` and return the children that are still in them.

        Their exit is expected from now on. Children that are not ready cannot receive a message, so they are killed.
        """
        children = []
        for slot in slots:
            self._slots.remove(slot)
            slot.start_at = None
            if slot.child is not None:
                children.append(slot.child)
        for child in children:
            if child.state in (ChildState.WAITING, ChildState.STARTING):
                child.kill(expected=True)
            elif child.state is ChildState.READY:
                child.expect_exit()
        return children

    def kill(self, children: Iterable[Child]) -> None:
        """Kill `children`. The next rounds of the reactor reap them."""
        for child in children:
            child.kill(expected=True)

    def kill_all(self) -> None:
        """Kill and reap every child without reading its last reports."""
        self._watch.kill_all()
