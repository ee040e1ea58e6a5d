"""Run a server in a separate process, so that it does not share the interpreter and the log with clients.

Commands that need a temporary server use it. `ServerProcess` is the command's side, and `main` the process's side (see
`process/child_process.py`). If the command dies, the server ends, too.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, assert_never

from ..addresses import own_address, reachable
from ..errors import ServingError, StartError
from ..options.settings import Settings
from ..process.child_process import ChildProcess
from ..process.reports import ChildConfig, Exited, Failed, Ready, ReportReady
from ..process.states import ChildState
from ..security.client_keys import NO_KEYS, ClientKeys
from .address import Address
from .server import BertServer
from .terminate import terminate

MODULE = __name__
"""The module that the process runs."""

TERMINATE_TIMEOUT_MS = 5000

INTERRUPT_S = 5
"""Seconds that an interrupted server gets to clean up before it is killed."""

STOP_MARGIN_S = 10
"""Seconds after its `shutdown_timeout` before a stopping server is killed."""


def pack_settings(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, with the options that the user left to the model."""
    return {**settings.to_dict(), 'left_to_model': sorted(settings.left_to_model)}


def unpack_settings(values: Mapping[str, Any]) -> Settings:
    """The settings that `pack_settings` has made `values` of."""
    values = dict(values)
    left = frozenset(values.pop('left_to_model'))
    return replace(Settings.from_dict(values), left_to_model=left)


class ServerProcess:
    """A server in a process. A context manager: the server is ready on entry, and has exited on exit."""

    def __init__(
        self,
        settings: Settings,
        log: str,
        ready_within_s: float,
        temp_dirs: Sequence[str] = (),
        module: str = __name__,
        keys: ClientKeys = NO_KEYS,
    ) -> None:
        """The server appends its log to the file `log`, and removes `temp_dirs` if this process dies.

        `module` is the module that the process runs; a test passes another server. `keys` are the clients' keys, if the
        server has keys.
        """
        config = {
            'context': 'SERVER',
            'verbose': settings.verbose,
            'temp_dirs': list(temp_dirs),
            'settings': pack_settings(settings),
            'log': os.path.abspath(log),
        }
        self._host = settings.host
        self._keys = keys if settings.curve_key_file is not None else NO_KEYS
        self._child = ChildProcess(module, 'SERVER', config)
        self._ready_within_s = ready_within_s
        self._stop_within_s = settings.shutdown_timeout + STOP_MARGIN_S

    @property
    def pid(self) -> int | None:
        """The id of the server's main process, in which the ventilator runs."""
        return self._child.pid

    def why_gone(self) -> str | None:
        """Why the server has ended by itself, or None if its process has not reported that."""
        match self._wait_for_report(0):
            case Failed(message):
                return message
            case Exited(_, how):
                return how
            case _:
                return None

    def __enter__(self) -> ServerProcess:
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
        """Stop the server gracefully, or interrupt it if this process was interrupted. Kill it if it takes too long."""
        if kind is None or issubclass(kind, Exception):
            self._stop()
        else:
            self._interrupt()

    def _wait_until_ready(self) -> Address:
        report = self._wait_for_report(self._ready_within_s)
        match report:
            case Ready(payload):
                return Address(reachable(own_address(self._host)), payload['port'], payload['port_out'], self._keys)
            case Failed(message):
                raise StartError('the server did not start: %s' % message)
            case Exited(_, how):
                raise StartError('the server did not start: %s' % how)
            case None:
                raise StartError('the server was not ready within %g s' % self._ready_within_s)
            case _:
                assert_never(report)

    def _wait_for_report(self, within_s: float) -> Ready | Failed | Exited | None:
        """The next report other than heartbeats and progress, or None if none arrives in time."""
        deadline = time.monotonic() + within_s
        while select.select([self._child], [], [], max(0, deadline - time.monotonic()))[0]:
            for report in self._child.read_reports():
                if isinstance(report, Ready | Failed | Exited):
                    return report
        return None

    def _stop(self) -> None:
        self._child.expect_exit()
        if self._keys:  # because its principal might lack the grant
            self._interrupt()
            return
        try:
            terminate(self.address.host, self.address.port, TERMINATE_TIMEOUT_MS)
        except ServingError:  # the server has exited, or does not listen any more
            self._kill()
        else:
            self._kill(after_s=self._stop_within_s)

    def _interrupt(self) -> None:
        """Send SIGTERM, after which the server can clean up. If killed, it would leave its temporary folders."""
        self._child.terminate()
        self._kill(after_s=INTERRUPT_S)

    def _kill(self, after_s: float = 0) -> None:
        """Wait until the process has exited. Kill it after `after_s` seconds."""
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
    """Run a server with the settings of `config` until it is told to stop, and log to its `log`."""
    server = server_class(unpack_settings(config['settings']))
    signal.signal(signal.SIGTERM, lambda *_: server.request_stop())  # see `ServerProcess._interrupt`
    log = os.open(config['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)
    with server:
        report_ready({'port': server.port, 'port_out': server.port_out})
        server.join()
    if server.error is not None:
        raise server.error
