"""A server of our own in a process of its own, so that it shares neither interpreter nor log with the clients.

`Host` is the benchmark's side, `main` the process's (see `child.py`). When the benchmark dies, the server goes too.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from types import TracebackType

from ..errors import ServingError, StartError
from ..options.settings import Settings
from ..parent.server import BertServer
from ..parent.terminate import terminate
from ..process.child import Child
from ..process.reports import ChildConfig, ChildReport, Exited, Failed, Heartbeat, Ready, ReportReady
from ..process.states import ChildState
from .load import Address

TERMINATE_TIMEOUT_MS = 5000

INTERRUPT_S = 5
"""How long a server that is interrupted may take to clear up behind itself before it is killed."""

STOP_MARGIN_S = 10
"""How much longer than its `shutdown_timeout` a server may take to end before it is killed."""


class Host:
    """A running server. A context manager: ready on entry, gone on exit."""

    def __init__(
        self, settings: Settings, log: str, ready_within_s: float, temp_dirs: Sequence[str] = (), module: str = __name__
    ) -> None:
        """`log` is the file to which its log is appended, `temp_dirs` the folders that it removes if we die.

        `module` is what the process runs: the seam at which a test puts another server.
        """
        self._child = Child(module, 'SERVER', {
            'context': 'SERVER', 'verbose': settings.verbose, 'temp_dirs': list(temp_dirs),
            'settings': settings.to_dict(), 'log': os.path.abspath(log),
        })  # fmt: skip
        self._ready_within_s = ready_within_s
        self._stop_within_s = settings.shutdown_timeout + STOP_MARGIN_S

    @property
    def pid(self) -> int | None:
        """The process in which the server's ventilator runs."""
        return self._child.pid

    def __enter__(self) -> Host:
        self._child.start()
        try:
            self.address = self._wait_until_ready()
        except BaseException:
            self._interrupt()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Let it drain; interrupt it when there is no time for that, and kill it when it takes too long."""
        if kind is None or issubclass(kind, Exception):
            self._stop()
        else:
            self._interrupt()

    def _wait_until_ready(self) -> Address:
        match self._wait_for_report(self._ready_within_s):
            case Ready(payload):
                return Address('localhost', payload['port'], payload['port_out'])
            case Failed(message):
                raise StartError('the server did not start: %s' % message)
            case Exited(_, how):
                raise StartError('the server did not start: %s' % how)
            case _:
                raise StartError('the server was not ready within %g s' % self._ready_within_s)

    def _wait_for_report(self, within_s: float) -> ChildReport | None:
        """The first report that is no heartbeat, or None if none comes in time."""
        deadline = time.monotonic() + within_s
        while select.select([self._child], [], [], max(0, deadline - time.monotonic()))[0]:
            for report in self._child.read_reports():
                if not isinstance(report, Heartbeat):
                    return report
        return None

    def _stop(self) -> None:
        self._child.expect_exit()
        try:
            terminate(self.address.host, self.address.port, TERMINATE_TIMEOUT_MS)
        except ServingError:  # it is gone already, or does not listen any more
            self._kill()
        else:
            self._kill(after_s=self._stop_within_s)

    def _interrupt(self) -> None:
        """End it by a signal that it can clear up after: one that is killed leaves the folders it has just made."""
        self._child.terminate()
        self._kill(after_s=INTERRUPT_S)

    def _kill(self, after_s: float = 0) -> None:
        """Wait until the process is gone; end it if it takes longer than `after_s`."""
        deadline = time.monotonic() + after_s
        if not self._read_to_the_end(deadline):
            self._child.kill(expected=True)
            self._read_to_the_end(time.monotonic() + self._stop_within_s)

    def _read_to_the_end(self, deadline: float) -> bool:
        while self._child.state is not ChildState.GONE:
            if self._wait_for_report(deadline - time.monotonic()) is None:
                return False
        return True


def main(config: ChildConfig, report_ready: ReportReady, server_class: type[BertServer] = BertServer) -> None:
    """Be a server with the settings of `config` until somebody terminates it, and log to its `log`."""
    server = server_class(Settings.from_dict(config['settings']))
    signal.signal(signal.SIGTERM, lambda *_: server.request_stop())  # see `Host._interrupt`
    log = os.open(config['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)
    with server:
        report_ready({'port': server.port, 'port_out': server.port_out})
        server.join()
    if server.error is not None:
        raise server.error
