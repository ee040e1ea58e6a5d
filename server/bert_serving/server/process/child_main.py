"""The child's side of a child process: `python -m bert_serving.server.process.child_main MODULE` runs MODULE's `main`.

The child reads its config from standard input, reports to its parent while it runs, and exits when its parent dies,
even if a signal has stopped it. A thread sends a heartbeat every second, with the state of its work. So the parent
notices a stopped or hanging child without asking the other processes, which might be the faulty ones (docs/adr/0011).

No module imports this one in the child, where its name is `__main__`. MODULE needs only `reports.py`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

from ..console import logs
from ..console.progress import Progress
from ..errors import ServingError
from .reports import ChildMain, Failed, Heartbeat, Payload, Ready, SentReport, StatusCallback, encode_report

logger = logging.getLogger('bert_serving.server.process.child_main')

EXIT_CRASHED = 70
"""The exit code after an unexpected exception (EX_SOFTWARE)."""

EXIT_ORPHANED = 71
"""The exit code of a child whose parent has died."""

HEARTBEAT_INTERVAL_S = 1.0
"""How often a child reports that it is alive."""

PRIVATE_UMASK = 0o077
"""The umask of children, which keeps their files and folders private, independently of the user's own umask."""

_PR_SET_PDEATHSIG = 1
"""The constant PR_SET_PDEATHSIG of <linux/prctl.h>."""

PROGRESS_INTERVAL_S = 0.05
"""The minimum seconds between two progress reports of a child. It always reports the beginning and end of a stage."""


def run_child(main: ChildMain) -> NoReturn:
    """Read the config, watch the parent, run `main(config, reporter)` of the module, and exit.

    If `main` raises a `ServingError`, it reports the message and exit code. It logs any other exception with its
    traceback.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _continue_when_parent_dies()
    os.umask(PRIVATE_UMASK)
    with open(0, 'rb', buffering=0, closefd=False) as stdin:
        config = json.loads(stdin.readline())
    logs.set_up(config['context'], config['verbose'], config.get('log_format', 'auto'))
    reporter = _PipeReporter(config.pop('report_to'))
    temp_dirs = config.pop('temp_dirs')
    threading.Thread(target=_hold_lifeline, args=(temp_dirs,), name='lifeline', daemon=True).start()
    threading.Thread(target=reporter.send_heartbeats, name='heartbeat', daemon=True).start()
    try:
        main(config, reporter)
    except ServingError as error:
        reporter.send(Failed(str(error), error.exit_code))
        _exit(error.exit_code)
    except BaseException as error:
        logger.exception('ended by an exception')
        reporter.send(Failed('%s: %s' % (type(error).__name__, error), exit_code=1))
        _exit(EXIT_CRASHED)
    _exit(0)


def _continue_when_parent_dies() -> None:
    """Let the kernel send SIGCONT when the parent dies, so that a stopped child can see that its lifeline has closed.

    SIGKILL would not work, because the child must first remove the parent's folders. If the parent has died before this
    call, the lifeline is already closed and the child is running, so it exits. "Parent" means the thread that started
    the child, which is the server's thread. A SIGCONT at the end of that thread does not affect a running child.
    """
    with suppress(OSError, AttributeError):  # not the GNU C library
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


class _PipeReporter:
    """The child's end of the report pipe. Thread-safe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._status: StatusCallback = dict
        self._writing = threading.Lock()
        self._last_progress = -PROGRESS_INTERVAL_S

    def send(self, report: SentReport) -> None:
        with self._writing, suppress(BrokenPipeError):
            os.write(self._pipe, encode_report(report))

    def __call__(self, payload: Payload, status: StatusCallback | None = None) -> None:
        if status is not None:
            self._status = status
        self.send(Ready(payload))

    def progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_INTERVAL_S or done == total or not done:
            self._last_progress = now
            self.send(Progress(stage, done, total))

    def send_heartbeats(self) -> NoReturn:
        while True:
            time.sleep(HEARTBEAT_INTERVAL_S)
            self.send(Heartbeat(self._status()))


def _hold_lifeline(temp_dirs: list[str]) -> None:
    """Wait until the parent dies, remove its temporary folders, and exit."""
    while os.read(0, 1024):
        pass
    for folder in temp_dirs:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(EXIT_ORPHANED)


def _exit(code: int) -> NoReturn:
    """Exit without the interpreter's cleanup, in which TensorFlow's threads can hang or crash."""
    logging.shutdown()
    with suppress(OSError):  # nobody reads the pipe any more
        sys.stderr.flush()
    os._exit(code)


if __name__ == '__main__':
    run_child(importlib.import_module(sys.argv[1]).main)
