"""A child that is a process on this machine: start it, tell it to stop, kill it.

Two pipes connect the parent and the child. The parent writes the config, one line of JSON, to the child's standard
input. Then it keeps that pipe open as a lifeline: when it closes, the parent has died, even by SIGKILL, and the child
exits. The child writes a line of JSON for each report (`reports.py`) to the report pipe. When that pipe closes, the
child has exited. `child_main.py` is the child's side.

The parent starts children with `sys.executable -m`, not with `multiprocessing`, which would run the user's script again
and break every script without a `__main__` guard. Each child has its own session and ignores SIGINT and SIGTERM. So
after Ctrl-C, or a signal of a service manager to the whole group, only the parent reacts, and drains.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from .. import descriptors
from ..console import streams
from .child import Child, describe_exit
from .reports import ChildConfig
from .states import ChildState

CHILD_MAIN = 'bert_serving.server.process.child_main'
PACKAGE_ROOT = Path(__file__).resolve().parents[3]

EXIT_TIMEOUT_S = 2.0
"""Seconds that a child can take to exit after its pipes are closed."""


class ChildProcess(Child):
    """The parent's side of one child process. Not thread-safe."""

    def __init__(
        self, module: str, name: str, config: ChildConfig, environment: Mapping[str, str | None] | None = None
    ) -> None:
        """Describe a process that will run `main(config, reporter)` of `module`. `start` starts it.

        In addition to the keys of its `main`, `config` has `context` and `verbose`, for the log, and `temp_dirs`, the
        folders that the child removes if its parent dies. `environment` overrides the parent's environment; the value
        None removes a variable.
        """
        super().__init__(name)
        self.module = module
        self.config = config
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_stopped(self) -> bool:
        """Whether a signal (SIGSTOP) or a debugger has stopped the process, according to /proc."""
        try:
            stat = Path('/proc/%s/stat' % self.pid).read_text('ascii', 'replace')
        except OSError:
            return False
        return stat.rpartition(')')[2].split()[0] in 'Tt'

    def start(self) -> None:
        """Start the process and send it its config.

        Raises:
            OSError: the operating system cannot start a process.
        """
        with descriptors.reserve():
            self._start()

    def _start(self) -> None:
        streams.reserve_descriptors()  # otherwise a pipe could get the number of a standard stream of the child
        output = streams.output_of_children()
        self._reports, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-P', '-m', CHILD_MAIN, self.module],
                stdin=subprocess.PIPE,
                stdout=output,  # standard output is for the parent's own output
                stderr=output,
                pass_fds=(writer,),
                start_new_session=True,
                env=self._make_environment(),
            )
        except OSError:
            os.close(self._reports)
            raise
        finally:
            os.close(writer)
        line = json.dumps({**self.config, 'report_to': writer}).encode() + b'\n'
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the child has already died, which its report pipe shows
                self._process.stdin.write(line)
                self._process.stdin.flush()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError('%s has not been started' % self.name)
        return self._process

    def _make_environment(self) -> dict[str, str]:
        merged: dict[str, str | None] = {**os.environ, **self.environment}
        environment = {name: value for name, value in merged.items() if value is not None}
        installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ('purelib', 'platlib')}
        if PACKAGE_ROOT not in installed:  # run from a checkout
            path = environment.get('PYTHONPATH')
            environment['PYTHONPATH'] = str(PACKAGE_ROOT) + (os.pathsep + path if path else '')
        return environment

    def _end(self) -> tuple[int, str]:
        process = self._started
        try:
            code = process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # its pipes are closed, but the system has not yet ended it
            code = -signal.SIGKILL
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        return code, describe_exit(self.name, code)

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self.state is not ChildState.GONE

    def terminate(self) -> None:
        if self._is_running:
            self.expect_exit()
            self._started.terminate()

    def _kill(self) -> None:
        self._started.kill()

    def kill_from_any_thread(self) -> None:
        """Kill the process if it still runs, but never another process that has got its number."""
        if self._process is not None:
            self._process.kill()

    def kill_and_reap(self, timeout_s: float) -> None:
        self.kill(expected=True)
        if self._is_running:
            try:
                self._started.wait(timeout_s)
            except subprocess.TimeoutExpired:  # in an uninterruptible wait; it will exit when that ends
                return
            self._reap()
