"""The supervisor: starts the children of a server, learns what becomes of them, and ends them.

Works in the thread of `BertServer`, in the parent process. It knows processes and nothing of messages: what a child's
readiness or death means for the ring is decided by `server.py`, which gives a callback for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from .child import Child, Exited, Failed, Ready
from .errors import StartError
from .states import ChildState
from .transport import Reactor

logger = logging.getLogger(__name__)

REAP_S = 5.0
"""How long a killed process may take to disappear before it is left to the system."""

OnReady = Callable[[dict[str, Any]], None]
OnExit = Callable[[Child, str], None]


class ChildFailed(StartError):
    """A child could not start; the message is the child's own, and so is the exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Supervisor:
    """The children of one server. Used by the one thread that runs the reactor."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._children: list[Child] = []
        self._last_words: dict[str, str] = {}

    @property
    def num_process(self) -> int:
        """Children that have been started and not yet reaped."""
        return len(self._children)

    def launch(self, child: Child, on_ready: OnReady, on_exit: OnExit) -> None:
        """Start `child`; `on_ready(facts)` and `on_exit(child, how)` are called in the reactor's rounds.

        `on_exit` is only for a child that leaves without having been dismissed; one that can not start raises `ChildFailed` out of the round.
        """
        child.start()
        logger.debug('started %s pid=%s', child.name, child.pid)
        self._children.append(child)
        self._reactor.add(child.fileno(), lambda: self._on_report(child, on_ready, on_exit))

    def run_to_end(self, child: Child, interrupted: Callable[[], bool]) -> dict[str, Any] | None:
        """Start `child`, run the reactor until it has ended and return what it reported; None if interrupted.

        Raises:
            ChildFailed: it could not do its work.
            StartError: it died.
        """
        facts: dict[str, Any] = {}
        ended: list[str] = []
        self.launch(child, facts.update, lambda _child, how: ended.append(how))
        while not ended and not interrupted():
            self._reactor.run_once(timeout_ms=100)
        if not ended:
            return None
        if not facts:
            raise StartError(ended[0])
        return facts

    def _on_report(self, child: Child, on_ready: OnReady, on_exit: OnExit) -> None:
        report_fd = child.fileno()
        for report in child.read_reports():
            match report:
                case Ready(facts):
                    on_ready(facts)
                case Failed(message, exit_code) if child.state is ChildState.STARTING:
                    raise ChildFailed('%s: %s' % (child.name, message), exit_code)
                case Failed(message):
                    self._last_words[child.name] = message
                case Exited(_code, how, expected):
                    self._reactor.remove(report_fd)
                    self._children.remove(child)
                    why = self._last_words.pop(child.name, None)
                    if not expected:
                        on_exit(child, how if why is None else '%s (%s)' % (how, why))

    def are_alive(self, children: Iterable[Child]) -> bool:
        """Whether any of `children` is not yet reaped."""
        return any(child.state is not ChildState.GONE for child in children)

    def dismiss(self, children: Iterable[Child]) -> None:
        """From now on the end of these children is no accident. One that is not ready, and can not be told, is killed."""
        for child in children:
            if child.state is ChildState.STARTING:
                child.kill()
            elif child.state is ChildState.READY:
                child.dismiss()

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
