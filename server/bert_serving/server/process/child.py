"""A process of ours: how the parent starts one and learns what becomes of it, and how the process itself begins.

`Child` is the parent's side, `run_child` the process's own, reached through `child_main.py`. Two pipes join them. Down
the process's standard input go its instructions, one line of JSON; the parent then keeps that pipe open, and when it
closes, because the parent has died, even by SIGKILL, the process ends at once (the lifeline). Up the report pipe comes
a line of JSON when the process is ready, or has failed to become so, and of long work how far it is; when that pipe
closes, the process is gone.

Children are started with `sys.executable -m`, not by `multiprocessing`, whose spawn runs the user's script again and
breaks every one that has no `__main__` guard. Each has a session of its own and ignores SIGINT and SIGTERM, so that
Ctrl-C, and a service manager that signals the whole group, leave it to the parent to drain.

A thread of the process says every second, up the report pipe, that it is alive and how its work goes: so one that is stopped
or stuck is noticed without asking the ring, whose other members may be at fault (docs/adr/0011).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from ..console import logs
from ..console.progress import Progress
from ..errors import ServingError
from .states import ChildEvent, ChildState, advance_child

logger = logging.getLogger(__name__)

EXIT_CRASHED = 70
"""The exit code after an exception that nobody expected (EX_SOFTWARE)."""
EXIT_ORPHANED = 71
"""The exit code of a process whose parent has died."""

CHILD_MAIN = 'bert_serving.server.process.child_main'
PACKAGE_ROOT = Path(__file__).resolve().parents[3]

REAP_S = 2.0
"""How long a process may take to end when its pipes are closed."""

BEAT_S = 1.0
"""How often a process says that it is alive."""

PROGRESS_S = 0.05
"""How often it says how far it is, at most; the end of a stage is always said."""

Instructions = dict[str, Any]
Pulse = Callable[[], dict[str, Any]]


class ReportReady(Protocol):
    """What a child's `main` calls when it can do its work."""

    def __call__(self, facts: dict[str, Any], pulse: Pulse | None = None) -> None:
        """`facts` is what it found out on the way; `pulse`, called by another thread, says from now on how it does."""
        ...


class Reporter(ReportReady, Protocol):
    """The same for a `main` whose work is long: it can say how far it is."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """So many bytes of `total` are done of a stage; 0 if they cannot be counted."""
        ...


ChildMain = Callable[[Instructions, Reporter], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """The process can do its work; `facts` is what it found out on the way."""

    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beat:
    """The process is alive, and `facts` is what its pulse says; {} as long as it has none."""

    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """The process cannot do its work; `message` says why, on one line or two, `exit_code` what that means."""

    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone and reaped; `how` tells in words, `expected` whether it had been dismissed."""

    code: int
    how: str
    expected: bool


Report = Ready | Beat | Progress | Failed | Exited


class Child:
    """The parent's side of one process. Not thread-safe."""

    def __init__(
        self, module: str, name: str, instructions: Instructions, environment: Mapping[str, str] | None = None
    ) -> None:
        """A process that will run `module`'s `main`; `environment` is laid over the parent's."""
        self.module = module
        self.name = name
        self.instructions = instructions
        self.environment = dict(environment or {})
        self.state = ChildState.STARTING
        self._process: subprocess.Popen[bytes] | None = None
        self._reports = -1
        self._unread = b''

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_stopped(self) -> bool:
        """Whether a signal (SIGSTOP) or a debugger has stopped the process, as far as /proc can tell."""
        try:
            stat = Path('/proc/%s/stat' % self.pid).read_text('ascii', 'replace')
        except OSError:
            return False
        return stat.rpartition(')')[2].split()[0] in 'Tt'

    def start(self) -> None:
        """Start the process and give it its instructions."""
        self._reports, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-P', '-m', CHILD_MAIN, self.module],
                stdin=subprocess.PIPE,
                stdout=2,  # standard output belongs to the parent's own answers
                pass_fds=(writer,),
                start_new_session=True,
                env=self._make_environment(),
            )
        except OSError:
            os.close(self._reports)
            raise
        finally:
            os.close(writer)
        line = json.dumps({**self.instructions, 'report_to': writer}).encode() + b'\n'
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has died already; its report pipe says so
                self._process.stdin.write(line)
                self._process.stdin.flush()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError('%s has not been started' % self.name)
        return self._process

    def _make_environment(self) -> dict[str, str]:
        environment = {**os.environ, **self.environment}
        installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ('purelib', 'platlib')}
        if PACKAGE_ROOT not in installed:  # run from a checkout
            path = environment.get('PYTHONPATH')
            environment['PYTHONPATH'] = str(PACKAGE_ROOT) + (os.pathsep + path if path else '')
        return environment

    def fileno(self) -> int:
        """Readable when there is something for `read_reports`."""
        return self._reports

    def read_reports(self) -> list[Report]:
        """What the process has said since the last call; `Exited` is the last that ever comes. Call when readable."""
        data = os.read(self._reports, 1 << 16)
        if not data:
            return [self._reap()]
        *lines, self._unread = (self._unread + data).split(b'\n')
        return [self._read_report(json.loads(line)) for line in lines]

    def _read_report(self, report: dict[str, Any]) -> Report:
        if 'failed' in report:
            return Failed(report['failed'], report['exit_code'])
        if 'beat' in report:
            return Beat(report['beat'])
        if 'progress' in report:
            return Progress(*report['progress'])
        self.state = advance_child(self.state, ChildEvent.REPORTED_READY)
        return Ready(report['ready'])

    def _reap(self) -> Exited:
        """Note that the process is gone, and give its pipes back."""
        process = self._started
        os.close(self._reports)
        try:
            code = process.wait(REAP_S)
        except subprocess.TimeoutExpired:  # its pipes are closed and it does not end: the system is at it
            code = -signal.SIGKILL
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        expected = self.state is ChildState.STOPPING
        self.state = advance_child(self.state, ChildEvent.EXITED)
        return Exited(code, describe_exit(self.name, code), expected)

    def dismiss(self) -> None:
        """From now on its end is expected; whoever can talk to it tells it to end."""
        self.state = advance_child(self.state, ChildEvent.TOLD_TO_STOP)

    def interrupt(self) -> None:
        """Send SIGTERM, which a process ignores unless its `main` asks for it."""
        if self._process is not None and self.state is not ChildState.GONE:
            self.dismiss()
            self._process.terminate()

    def destroy(self) -> None:
        """Kill the process, which does not end by itself; its `Exited` will say that this was not expected."""
        if self._process is not None and self.state is not ChildState.GONE:
            self._process.kill()

    def kill(self) -> None:
        """End the process at once, if it is not gone yet; `Exited` is still to be read."""
        if self._process is not None and self.state is not ChildState.GONE:
            self.dismiss()
            self._process.kill()

    def kill_and_reap(self, timeout_s: float) -> None:
        """End the process at once and wait until it is gone; what it still had to report is not read."""
        self.kill()
        if self._process is not None and self.state is not ChildState.GONE:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:  # in an uninterruptible wait of the system's; it will go when that ends
                return
            self._reap()


def describe_exit(name: str, code: int) -> str:
    """How a process ended, in words: the code as `subprocess` gives it, negative for a signal."""
    if code >= 0:
        return '%s ended with exit code %d' % (name, code)
    try:
        signal_name = signal.Signals(-code).name
    except ValueError:
        signal_name = 'signal %d' % -code
    hint = ' Perhaps out of memory?' if -code == signal.SIGKILL else ''
    return '%s was killed by %s!%s' % (name, signal_name, hint)


def run_child(main: ChildMain) -> NoReturn:
    """Be a child: read the instructions, hold the lifeline, run `main(instructions, report_ready)` and exit.

    Beside what is `main`'s, the instructions have `context` and `verbose` for the log and `leftovers`, the folders
    that an orphan removes. A `ServingError` out of
    `main` is reported with its message and exit code; any other exception is logged with its traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(0, 'rb', buffering=0, closefd=False) as stdin:
        instructions = json.loads(stdin.readline())
    logs.set_up(instructions['context'], instructions['verbose'])
    reports = instructions.pop('report_to')
    leftovers = instructions.pop('leftovers')
    threading.Thread(target=_hold_lifeline, args=(leftovers,), name='lifeline', daemon=True).start()
    reporter = _PipeReporter(reports)
    threading.Thread(target=reporter.beat, name='beat', daemon=True).start()
    try:
        main(instructions, reporter)
    except ServingError as error:
        reporter.write(failed=str(error), exit_code=error.exit_code)
        _exit(error.exit_code)
    except BaseException as error:
        logger.exception('ended by an exception')
        reporter.write(failed='%s: %s' % (type(error).__name__, error), exit_code=1)
        _exit(EXIT_CRASHED)
    _exit(0)


class _PipeReporter:
    """The process's end of the report pipe; `write` is for any thread."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._pulse: Pulse = dict
        self._writing = threading.Lock()
        self._last_progress = -PROGRESS_S

    def write(self, **what: Any) -> None:
        with self._writing, contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, json.dumps(what).encode() + b'\n')

    def __call__(self, facts: dict[str, Any], pulse: Pulse | None = None) -> None:
        if pulse is not None:
            self._pulse = pulse
        self.write(ready=facts)

    def progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_S or done == total or not done:
            self._last_progress = now
            self.write(progress=[stage, done, total])

    def beat(self) -> None:
        """Say for ever that the process is alive."""
        while True:
            time.sleep(BEAT_S)
            self.write(beat=self._pulse())


def _hold_lifeline(leftovers: list[str]) -> None:
    """Wait for the parent's death, then remove the folders that it can no longer remove, and go."""
    while os.read(0, 1024):
        pass
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(EXIT_ORPHANED)


def _exit(code: int) -> NoReturn:
    """Leave without the interpreter's clean-up, in which TensorFlow's threads may hang or crash."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
