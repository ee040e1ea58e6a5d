"""The log of every process: one logger, `bert_serving.server`, one coloured context a process, lines as 1.10 wrote them.

What goes wrong with every message of a client could fill a disk: of the warnings and errors from one place in the code a
few are written each second, and the next says how many were left out.

Modules log through `logging.getLogger(__name__)`; only the entry point of a process calls `set_up`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from .terminal import ERASE_LINE, colour, takes_escapes

ROOT = 'bert_serving.server'

LINES_PER_SECOND = 10
"""Of warnings and errors from one place in the code."""

_COLOURS = {'VENTILATOR': 'magenta', 'SINK': 'green', 'WORKER': 'yellow', 'GRAPHOPT': 'cyan', 'PROXY': 'red'}


def set_up(context: str, verbose: bool = False) -> None:
    """Log to standard error as `I:CONTEXT:[fil:fun: 12]:message`, from DEBUG up with `verbose`, else from INFO.

    A program that has given the logger a handler of its own keeps it.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours = [handler for handler in logger.handlers if isinstance(handler, _Handler)]
    if logger.handlers and not ours:
        return
    for handler in ours:
        logger.removeHandler(handler)
    handler = _Handler()
    handler.addFilter(RateLimit())
    name = colour(context, _COLOURS.get(context.split('-')[0], 'white'), sys.stderr)
    if context == 'GRAPHOPT':
        handler.is_written_over = takes_escapes(sys.stderr)  # the parent's line on how far this process is
    line = '%(levelname)-.1s:' + name + ':[%(filename).3s:%(funcName).3s:%(lineno)3d]:%(message)s'
    handler.setFormatter(logging.Formatter(line))
    logger.addHandler(handler)
    logger.propagate = False


@contextlib.contextmanager
def timed(log: logging.Logger, step: str, **facts: object) -> Iterator[dict[str, object]]:
    """Log `step` when it is done, with `facts`, and what the block adds to them, and how long it took."""
    started = time.monotonic()
    yield facts
    facts['seconds'] = '%.2f' % (time.monotonic() - started)
    log.info('%s (%s)', step, ' '.join('%s=%s' % fact for fact in facts.items()), stacklevel=3)


@contextlib.contextmanager
def beside_progress() -> Iterator[TextIO | None]:
    """The terminal on which our lines appear, if they do, for a line that is written over meanwhile; None elsewhere."""
    handlers = logging.getLogger(ROOT).handlers
    ours = handlers[0] if len(handlers) == 1 else None
    if not isinstance(ours, _Handler) or not takes_escapes(sys.stderr):
        yield None
        return
    ours.is_written_over = True
    try:
        yield sys.stderr
    finally:
        ours.is_written_over = False


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that it can be told from a user's."""

    is_written_over = False
    """Whether the line on the terminal may be one that a piece of work has left there to be written over."""

    def format(self, record: logging.LogRecord) -> str:
        return (ERASE_LINE if self.is_written_over else '') + super().format(record)


class RateLimit(logging.Filter):
    """Lets `LINES_PER_SECOND` warnings and errors of a place through, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seconds: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is written; the first of a second takes the number of those left out with it."""
        if record.levelno < logging.WARNING:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        began, count = self._seconds.get(place, (now, 0))
        if now - began < 1:
            self._seconds[place] = began, count + 1
            return count < LINES_PER_SECOND
        self._seconds[place] = now, 1
        left_out = count - LINES_PER_SECOND
        if left_out > 0:
            record.msg = '%s (and %d more like it before, which were left out)' % (record.getMessage(), left_out)
            record.args = None
        return True
