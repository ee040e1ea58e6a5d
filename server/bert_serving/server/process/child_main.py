"""The child's side of a child process: `python -m bert_serving.server.process.child_main MODULE` runs MODULE's `main`.

The child reads its config from standard input, reports to its parent as long as it runs, and exits when its parent
dies, even if a signal has stopped it. A thread reports every second that the child is alive, and how its work goes. So
the parent notices a child that is stopped or hangs without asking the other processes, which may be the ones at fault
(docs/adr/0011).

Nothing imports this module in the child, where its name is `__main__`; MODULE needs `reports.py` alone.
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
"""The exit code after an exception that nobody expected (EX_SOFTWARE)."""

EXIT_ORPHANED = 71
"""The exit code of a child whose parent has died."""

HEARTBEAT_INTERVAL_S = 1.0
"""How often a child reports that it is alive."""

PRIVATE_UMASK = 0o077
"""Files and folders that a child makes are for its user alone, in any folder and under any umask of the user."""

_PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""

PROGRESS_INTERVAL_S = 0.05
"""How often a child reports its progress at most; the beginning and the end of a stage are always reported."""


def run_child(main: ChildMain) -> NoReturn:
    """Read the config, watch the parent, run `main(config, reporter)`, and exit.

    A `ServingError` that `main` raises is reported with its message and exit code; any other exception is logged with
    its traceback.
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

    Not SIGKILL, because the child has the parent's folders to remove first. A parent that has died before this call is
    no race: the lifeline is closed already, and only a running child gets here. The kernel means the thread that
    started the child, which in the parent is the thread of the server; a SIGCONT at its end does nothing to a child
    that runs.
    """
    with suppress(OSError, AttributeError):  # another C library, or none
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)


class _PipeReporter:
    """The child's end of the report pipe; any thread may use it."""

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
    """Wait until the parent dies, remove the folders that it can no longer remove, and exit."""
    while os.read(0, 1024):
        pass
    for folder in temp_dirs:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(EXIT_ORPHANED)


def _exit(code: int) -> NoReturn:
    """Exit without the interpreter's cleanup, in which TensorFlow's threads may hang or crash."""
    logging.shutdown()
    with suppress(OSError):  # a pipe that nobody reads any more
        sys.stderr.flush()
    os._exit(code)


if __name__ == '__main__':
    run_child(importlib.import_module(sys.argv[1]).main)
