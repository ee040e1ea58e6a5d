"""The parent's side of a child, whether it is a process on this machine or runs elsewhere.

A child writes a line of JSON for each report (`reports.py`), and the parent reads the lines from a pipe. When that pipe
closes, the child has exited. The supervisor knows nothing else: a `Launcher` (`launcher.py`) decides where it runs.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping

from .reports import ChildReport, Exited, Placed, Ready, Waiting, decode_report
from .states import ChildEvent, ChildState, advance_child

READ_BYTES = 1 << 16

EXIT_DISCONNECTED = 72
"""The exit code of a child on another machine that has lost its connection to the server."""

EVENTS: Mapping[type[ChildReport], ChildEvent] = {
    Waiting: ChildEvent.BEGAN_TO_WAIT,
    Placed: ChildEvent.PLACED,
    Ready: ChildEvent.REPORTED_READY,
}
"""The event in the state machine of a child for each kind of report."""


class Child(ABC):
    """The parent's side of one child. Not thread-safe."""

    def __init__(self, name: str) -> None:
        """`name` appears in the log. `start` starts the child."""
        self.name = name
        self.state = ChildState.STARTING
        self._reports = -1
        self._unread = b''

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The id of its process on the machine where that runs, or None if there is no process."""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal (SIGSTOP) or a debugger has stopped the process. False if that is unknown."""
        return False

    @property
    def is_machine_lost(self) -> bool:
        """Whether the child was lost with its machine or the connection to it, and did not exit by itself."""
        return False

    @abstractmethod
    def start(self) -> None:
        """Start the child.

        Raises:
            OSError: the operating system cannot start a process.
        """

    # ---- reports

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when there is input for `read_reports`."""
        return self._reports

    def read_reports(self) -> list[ChildReport]:
        """Return the reports since the last call. Wait if there are none.

        `Exited` is the last report.
        """
        data = os.read(self._reports, READ_BYTES)
        if not data:
            return [self._reap()]
        *lines, self._unread = (self._unread + data).split(b'\n')
        reports: list[ChildReport] = [decode_report(line) for line in lines]
        for report in reports:
            event = EVENTS.get(type(report))
            if event is not None:
                self.state = advance_child(self.state, event)
        return reports

    def _reap(self) -> Exited:
        """Release the resources of the child, record that it is gone, and return how it ended."""
        os.close(self._reports)
        code, how = self._end()
        expected = self.state is ChildState.STOPPING
        self.state = advance_child(self.state, ChildEvent.EXITED)
        return Exited(code, how, expected, self.is_machine_lost)

    @abstractmethod
    def _end(self) -> tuple[int, str]:
        """Release the resources of the child; return its exit code as in `subprocess`, and a description of its end."""

    # ---- the end

    @property
    @abstractmethod
    def _is_running(self) -> bool:
        """Whether the child was started and is not yet reaped."""

    def expect_exit(self) -> None:
        """Expect the child to exit from now on. The caller sends it a message to do so."""
        self.state = advance_child(self.state, ChildEvent.TOLD_TO_STOP)

    @abstractmethod
    def terminate(self) -> None:
        """Send the child SIGTERM, and expect it to exit. A child ignores the signal unless its `main` handles it."""

    def kill(self, *, expected: bool) -> None:
        """Kill the child if it has not exited. Its `Exited` report still follows.

        With `expected`, the child was stopping anyway. Without it, the child hangs, and its exit counts as a crash.
        """
        if self._is_running:
            if expected:
                self.expect_exit()
            self._kill()

    @abstractmethod
    def _kill(self) -> None:
        """Kill the running child, without waiting for its exit."""

    @abstractmethod
    def kill_and_reap(self, timeout_s: float) -> None:
        """Kill the child and wait until it has exited, without reading its last reports."""


def describe_exit(name: str, code: int) -> str:
    """Describe how a process ended. `code` is the returncode of `subprocess`, negative for a signal."""
    if code == EXIT_DISCONNECTED:
        return '%s lost its connection to the server' % name
    if code >= 0:
        return '%s ended with exit code %d' % (name, code)
    try:
        signal_name = signal.Signals(-code).name
    except ValueError:
        signal_name = 'signal %d' % -code
    hint = ' Perhaps out of memory?' if -code == signal.SIGKILL else ''
    return '%s was killed by %s!%s' % (name, signal_name, hint)
