"""The supervisor: starts the children of a server, learns what becomes of them, starts them again, and ends them.

Works in the thread of `BertServer`, in the parent process. It knows processes and nothing of messages: what a child's
readiness or death means for the ring is decided by `server.py`, which gives a `Post` for each place that has to be filled.

A child says every second that it is alive, and for how long it has been at one piece of work. One that is silent for
longer than `hang_s`, or at one piece, is stopped or stuck, and is killed; then it is like any other that has died.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..console.formatting import format_duration
from ..console.progress import Progress, ProgressDisplay
from ..errors import ServingError, StartError
from ..transport import Reactor
from .child import Beat, Child, Exited, Failed, Ready
from .restarts import Restarts
from .states import ChildState

logger = logging.getLogger(__name__)

REAP_S = 5.0
"""How long a killed process may take to disappear before it is left to the system."""

CHECK_S = 0.5
"""How often the children's silence is looked at. When the checks themselves come late, it is we who were stopped."""

OnReady = Callable[[dict[str, Any]], None]
OnBeat = Callable[[dict[str, Any]], None]
OnExit = Callable[[str, 'ChildFailed | None'], None]

START_S = 900.0
"""How long a child may take to become ready, when it is started by its post."""

LOADING_S = 30.0
"""How long a child may be silent while it starts, at least: libraries that are loaded let no other thread on."""

ASLEEP_S = 2.0
"""Between two checks or two beats: after a longer pause it was we, or the machine, that stood still."""


class ChildFailed(StartError):
    """A child could not start; the message is the child's own, and so is the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(slots=True, eq=False)
class Post:
    """A place among the children that is filled again when its child has died.

    `make` gives a child that has not been started. `on_ready(facts)`, `on_beat(facts)` and `on_lost(how, failure)` are
    called in the reactor's rounds; `failure` is what a child said that could not start. `on_given_up(how)` comes after
    the last `on_lost`, when no child is started any more because none became ready.
    """

    make: Callable[[], Child]
    on_ready: OnReady
    on_beat: OnBeat
    on_lost: OnExit
    on_given_up: Callable[[str], None]
    restarts: Restarts = field(default_factory=Restarts)
    child: Child | None = None
    state: str = 'starting'
    since: float = 0.0
    """When the state began, by `time.monotonic`."""
    start_at: float | None = None
    """When the next child is to be started; None while there is one, or none is wanted."""

    def describe(self) -> dict[str, Any]:
        """For the status."""
        return {
            'state': self.state,
            'pid': None if self.child is None else self.child.pid,
            'restarts': self.restarts.count,
        }


class Supervisor:
    """The children of one server. Used by the one thread that runs the reactor."""

    def __init__(self, reactor: Reactor, hang_s: float) -> None:
        self._reactor = reactor
        self._hang_s = hang_s
        self._children: list[Child] = []
        self._posts: list[Post] = []
        self._heard: dict[Child, float] = {}
        self._last_words: dict[Child, tuple[str | None, ChildFailed | None]] = {}
        self._verdicts: dict[Child, tuple[str, float]] = {}
        self._exits: dict[Child, OnExit] = {}
        self._undead: list[Child] = []
        self._slept: dict[Child, float] = {}
        self._checked = time.monotonic()

    @property
    def num_process(self) -> int:
        """Children that have been started and not yet reaped."""
        return len(self._children)

    # One child ---------------------------------------------------------------------------------------------------------

    def launch(
        self, child: Child, on_ready: OnReady, on_exit: OnExit, on_beat: OnBeat = lambda _: None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """Start `child`; the others are called in the reactor's rounds, with what it reports.

        `on_exit` is only for a child that leaves without having been dismissed; `failure` is there if it said that it could
        not start.
        """
        child.start()
        logger.debug('started %s pid=%s', child.name, child.pid)
        self._children.append(child)
        self._heard[child] = time.monotonic()
        self._exits[child] = on_exit
        self._reactor.add(child.fileno(), lambda: self._on_report(child, on_ready, on_exit, on_beat, on_progress))

    def run_to_end(
        self, child: Child, interrupted: Callable[[], bool], display: ProgressDisplay
    ) -> dict[str, Any] | None:
        """Start `child`, run the reactor until it has ended and return what it reported; None if interrupted.

        `display` shows meanwhile how far it is.

        Raises:
            ChildFailed: it could not do its work.
            StartError: it died.
        """
        facts: dict[str, Any] = {}
        ended: list[ServingError] = []
        self.launch(
            child, facts.update, lambda how, failure: ended.append(failure or StartError(how)), on_progress=display.show
        )
        try:
            while not ended and not interrupted():
                self._reactor.run_once(timeout_ms=100)
                self.pass_time()
                display.refresh()
        finally:
            display.end()
        if not ended:
            return None
        if not facts:
            raise ended[0]
        return facts

    def _on_report(
        self, child: Child, on_ready: OnReady, on_exit: OnExit, on_beat: OnBeat,
        on_progress: Callable[[Progress], None],
    ) -> None:  # fmt: skip
        report_fd = child.fileno()
        for report in child.read_reports():
            heard_before, self._heard[child] = self._heard[child], time.monotonic()
            match report:
                case Ready(facts):
                    on_ready(facts)
                case Beat(facts):
                    on_beat(facts)
                    self._judge_work(child, facts, heard_before)
                case Progress():
                    on_progress(report)
                case Failed(message, exit_code):
                    could_not_start = ChildFailed('%s: %s' % (child.name, message), exit_code)
                    self._last_words[child] = message, could_not_start if child.state is ChildState.STARTING else None
                case Exited(_code, how, expected):
                    self._reactor.remove(report_fd)
                    words, failure = self._last_words.get(child, (None, None))
                    how, _ = self._verdicts.get(child, (how, 0.0))
                    self._forget(child)
                    if not expected:
                        on_exit(how if words is None else '%s (%s)' % (how, words), failure)

    # Posts -------------------------------------------------------------------------------------------------------------

    def fill(self, post: Post) -> None:
        """Start a child for `post`, and another whenever that one has died."""
        self._posts.append(post)
        self._start(post)

    def _start(self, post: Post) -> None:
        def on_ready(facts: dict[str, Any]) -> None:
            now = time.monotonic()
            logger.info('%s is ready (%s)', child.name, format_duration(now - post.since))
            post.restarts.became_ready(now)
            self._enter(post, 'ready')
            post.on_ready(facts)

        def on_exit(how: str, failure: ChildFailed | None) -> None:
            self._on_loss(post, how, failure)

        self._enter(post, 'starting')
        child = post.child = post.make()
        try:
            self.launch(child, on_ready, on_exit, post.on_beat)
        except OSError as error:  # no process or file descriptor is left in the system, say
            self._on_loss(post, '%s could not be started: %s' % (child.name, error), None)

    def _enter(self, post: Post, state: str, start_at: float | None = None) -> None:
        post.state, post.since, post.start_at = state, time.monotonic(), start_at

    def _on_loss(self, post: Post, how: str, failure: ChildFailed | None) -> None:
        now = time.monotonic()
        pause_s = post.restarts.died(now)
        post.child = None
        if pause_s is None:
            self._enter(post, 'gone')
        else:
            self._enter(post, 'restarting', start_at=now + pause_s)
        post.on_lost(how, failure)
        if pause_s is None:
            post.on_given_up('%s; %d starts have failed' % (how, post.restarts.failed_starts))
        else:
            logger.error('%s; it is started again in %.1f s', how, pause_s)

    def pass_time(self) -> None:
        """Start those children again whose pause is over, and kill those that are stopped or stuck."""
        now = time.monotonic()
        for post in self._posts:
            if post.start_at is not None and now >= post.start_at:
                self._start(post)
            elif post.child is not None and post.state == 'starting' and now - post.since > START_S:
                self._condemn(post.child, 'was not ready within %.0f s' % START_S)
        since_last, self._checked = now - self._checked, now
        if since_last > ASLEEP_S:  # what the children said meanwhile is still unread
            self._heard = dict.fromkeys(self._heard, now)
        for child, heard in list(self._heard.items()):
            most_s = max(self._hang_s, LOADING_S) if child.state is ChildState.STARTING else self._hang_s
            if now - heard > most_s:
                self._condemn(child, 'was silent for %.0f s: stopped or stuck' % (now - heard))
        for child, (_, condemned) in list(self._verdicts.items()):
            if now - condemned > REAP_S:
                self._leave(child)

    @property
    def next_start(self) -> float | None:
        """The time of `time.monotonic` at which a child is to be started, if any is."""
        return min((post.start_at for post in self._posts if post.start_at is not None), default=None)

    def _judge_work(self, child: Child, facts: dict[str, Any], heard_before: float) -> None:
        """Condemn a child that is too long at one piece; a pause between its beats is one in which it stood still."""
        busy_s, pause_s = facts.get('busy_s', 0.0), self._heard[child] - heard_before
        if pause_s > ASLEEP_S:
            self._slept[child] = self._slept.get(child, 0.0) + pause_s
        if busy_s < self._slept.get(child, 0.0):
            del self._slept[child]
        if busy_s - self._slept.get(child, 0.0) > self._hang_s:
            self._condemn(child, 'was at one piece of work for %.0f s' % busy_s)

    def _condemn(self, child: Child, why: str) -> None:
        if child.state in (ChildState.STARTING, ChildState.READY) and child not in self._verdicts:
            self._verdicts[child] = '%s %s; it was killed' % (child.name, why), time.monotonic()
            child.destroy()

    def _leave(self, child: Child) -> None:
        """A killed process that the system cannot end, for a driver that hangs: as far as we go, it is gone."""
        how, _ = self._verdicts[child]
        self._reactor.remove(child.fileno())
        self._undead.append(child)
        on_exit = self._exits[child]
        self._forget(child)
        on_exit('%s and does not go' % how, None)

    def _forget(self, child: Child) -> None:
        self._children.remove(child)
        for known in (self._heard, self._last_words, self._verdicts, self._exits, self._slept):
            known.pop(child, None)

    # The end -----------------------------------------------------------------------------------------------------------

    def are_alive(self, children: Iterable[Child]) -> bool:
        """Whether any of `children` is not yet reaped."""
        return any(child.state is not ChildState.GONE for child in children)

    def abandon(self, posts: Iterable[Post]) -> list[Child]:
        """Fill these posts no more; return the children that are still there.

        From now on their end is no accident. One that is not ready, and cannot be told, is killed.
        """
        for post in posts:
            self._posts.remove(post)
            post.start_at = None
        children = [post.child for post in posts if post.child is not None]
        for child in children:
            if child.state is ChildState.STARTING:
                child.kill()
            elif child.state is ChildState.READY:
                child.dismiss()
        return children

    def kill(self, children: Iterable[Child]) -> None:
        """End these children at once; that they are gone is noticed in the next rounds of the reactor."""
        for child in children:
            child.kill()

    def kill_all(self) -> None:
        """End every child at once and reap it, without reading anything else."""
        for child in self._children:
            self._reactor.remove(child.fileno())
            child.kill_and_reap(REAP_S)
        self._children.clear()
        for child in self._undead:
            child.kill_and_reap(0)
