"""The log of every process: the logger `bert_serving.server`, with lines as in 1.10 and a colored context per process.

The log limits the rate of warnings and errors per call site, so that a misbehaving client cannot fill the disk. The
next line from a call site says how many were dropped.

Modules log through `logging.getLogger(__name__)`; only the entry point of a process calls `set_up`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TextIO

from .terminal import ERASE_LINE, color, is_terminal, takes_escapes

ROOT = 'bert_serving.server'

FORMATS = ('auto', 'plain', 'time', 'json')
"""The log formats. `plain` has the lines of 1.10, `time` adds the time before them, and `json` writes one object per
line. `auto` is `plain` on a terminal and `time` elsewhere."""

LINES_PER_SECOND = 10
"""The maximum number of warnings and errors per second and call site."""

_COLORS = {'VENTILATOR': 'magenta', 'SINK': 'green', 'WORKER': 'yellow', 'GRAPHOPT': 'cyan', 'PROXY': 'red'}


def set_up(context: str, verbose: bool = False, log_format: str = 'auto') -> None:
    """Log to standard error as `I:CONTEXT:[fil:fun: 12]:message`, from level DEBUG with `verbose`, else from INFO.

    `log_format` is one of `FORMATS`. If the program has added its own handler to the logger, this function adds none.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours = [handler for handler in logger.handlers if isinstance(handler, _Handler)]
    if logger.handlers and not ours:
        return
    for handler in ours:
        logger.removeHandler(handler)
    handler = _Handler()
    name = color(context, _COLORS.get(context.split('-')[0], 'white'), sys.stderr)
    if context == 'GRAPHOPT':
        handler.erases_line = takes_escapes(sys.stderr)  # the parent logs them, with the progress of this process
    handler.setFormatter(_formatter(log_format, context, name))
    logger.addHandler(handler)
    logger.propagate = False


def _formatter(log_format: str, context: str, name: str) -> logging.Formatter:
    """The formatter for a format. `name` is the context, perhaps in color."""
    if log_format == 'json':
        return _JsonFormatter(context)
    line = '%(levelname)-.1s:' + name + ':[%(filename).3s:%(funcName).3s:%(lineno)3d]:%(message)s'
    if log_format == 'time' or (log_format == 'auto' and not is_terminal(sys.stderr)):
        return _TimeFormatter('%(asctime)s ' + line)
    return logging.Formatter(line)


class _TimeFormatter(logging.Formatter):
    """Writes times in UTC, as ISO 8601 with milliseconds."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  logging's name
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')


class _JsonFormatter(_TimeFormatter):
    """Writes one object per line: `time`, `level`, `process`, `message`, `source`, and `traceback` for an exception."""

    def __init__(self, context: str) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        line = {
            'time': self.formatTime(record),
            'level': record.levelname.lower(),
            'process': self._context,
            'message': record.getMessage(),
            'source': '%s:%d' % (record.filename, record.lineno),
        }
        if record.exc_info:
            line['traceback'] = self.formatException(record.exc_info)
        return json.dumps(line)


@contextlib.contextmanager
def timed(logger: logging.Logger, step: str, **facts: object) -> Iterator[dict[str, object]]:
    """Log `step` after the block, with its duration in seconds and with `facts`, to which the block can add."""
    started = time.monotonic()
    yield facts
    facts['seconds'] = '%.2f' % (time.monotonic() - started)
    logger.info('%s (%s)', step, ' '.join('%s=%s' % fact for fact in facts.items()), stacklevel=3)


@contextlib.contextmanager
def terminal_for_progress() -> Iterator[TextIO | None]:
    """Yield the terminal that shows the log, to draw a progress line on it, or None if the log is not on a terminal.

    Within the block, every log line first erases the progress line.
    """
    handlers = logging.getLogger(ROOT).handlers
    ours = handlers[0] if len(handlers) == 1 else None
    if not isinstance(ours, _Handler) or not takes_escapes(sys.stderr):
        yield None
        return
    ours.erases_line = True
    try:
        yield sys.stderr
    finally:
        ours.erases_line = False


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """The handler of this module. Its class distinguishes it from handlers of the program."""

    erases_line = False
    """Whether each log line first erases the current line of the terminal, which might be a progress line."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = RateLimit()

    def emit(self, record: logging.LogRecord) -> None:
        passed = self._limit.passed(record)
        if passed is not None:
            super().emit(passed)

    def format(self, record: logging.LogRecord) -> str:
        return (ERASE_LINE if self.erases_line else '') + super().format(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        with contextlib.suppress(Exception):  # standard error is closed, so an error report would fail, too
            super().handleError(record)


class RateLimit:
    """Passes `LINES_PER_SECOND` warnings and errors of each call site per second, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[tuple[str, int], tuple[float, int]] = {}

    def passed(self, record: logging.LogRecord) -> logging.LogRecord | None:
        """Return `record`, or None if it is not written. The first one after a second also says how many were dropped.

        That one is a copy, because other handlers get the same record.
        """
        if record.levelno < logging.WARNING:
            return record
        place, now = (record.pathname, record.lineno), self._clock()
        began, count = self._seconds.get(place, (now, 0))
        if now - began < 1:
            self._seconds[place] = began, count + 1
            return record if count < LINES_PER_SECOND else None
        self._seconds[place] = now, 1
        left_out = count - LINES_PER_SECOND
        if left_out > 0:
            record = copy.copy(record)
            record.msg = '%s (dropped %d similar lines before)' % (record.getMessage(), left_out)
            record.args = None
        return record
