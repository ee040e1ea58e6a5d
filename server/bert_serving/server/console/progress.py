"""The progress of long work: a child reports it, and the parent displays it.

The display shows the bytes done, the total, and the elapsed time. It does not estimate the remaining time. On a
terminal it redraws one line; elsewhere it logs a line every few seconds. Short work shows nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from .formatting import format_bytes, format_duration
from .terminal import ERASE_LINE, line_width

QUIET_S = 2.0
"""Seconds before the first log line. Most work is finished by then."""

LINE_EVERY_S = 5.0
"""Seconds between log lines."""

QUIET_ON_TERMINAL_S = 0.5
"""Seconds before the first drawing on a terminal."""

DRAW_EVERY_S = 0.1
"""Seconds between two drawings on a terminal."""

BAR = 24
"""The width of the bar in columns."""

OnProgress = Callable[[str, int, int], None]
"""A callback with a stage of the work, its bytes done, and its total bytes, or 0 if the total is unknown."""


def ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """An `OnProgress` that ignores all progress."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a stage: `done` of `total` bytes. A `total` of 0 is unknown."""

    stage: str
    done: int
    total: int

    def describe(self) -> str:
        """The progress in words: `read the weights: 640MB of 1.34GB, 47%`."""
        if not self.total:
            return self.stage
        percent = 100 * self.done // self.total
        return '%s: %s of %s, %d%%' % (self.stage, format_bytes(self.done), format_bytes(self.total), percent)

    def draw(self) -> str:
        """The progress as a bar, followed by the words."""
        filled = BAR * self.done // self.total if self.total else 0
        return '[%s] %s' % (('=' * filled).ljust(BAR), self.describe())


class Meter:
    """Counts bytes up to a total, and ignores any beyond it."""

    def __init__(self, on_progress: Callable[[int, int], None], total: int) -> None:
        """Call `on_progress` with the bytes done and the total, now and after each count."""
        self._on_progress = on_progress
        self._done, self._total = 0, total
        on_progress(0, total)

    def count(self, number: int) -> None:
        """Add `number` to the bytes done."""
        self._done = min(self._done + number, self._total)
        self._on_progress(self._done, self._total)


class ProgressDisplay:
    """Shows the progress of one piece of work, until `end`. Used by one thread."""

    def __init__(
        self, log: Callable[[str], None], stream: TextIO | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Call `log` with a line every few seconds, or draw a line on `stream` if that terminal is given."""
        self._log = log
        self._stream = stream
        self._clock = clock
        self._began = self._next = 0.0
        self._latest: Progress | None = None
        self._drawn = ''

    def show(self, progress: Progress) -> None:
        """Show `progress`. The elapsed time counts from the first call."""
        if self._latest is None:
            self._began = self._clock()
            self._next = self._began + (QUIET_S if self._stream is None else QUIET_ON_TERMINAL_S)
        self._latest = progress
        self.refresh()

    def refresh(self) -> None:
        """Redraw with the elapsed time; some stages report nothing else."""
        now = self._clock()
        if self._latest is None or now < self._next:
            return
        self._next = now + (LINE_EVERY_S if self._stream is None else DRAW_EVERY_S)
        since = format_duration(now - self._began)
        if self._stream is None:
            self._log('%s (%s)' % (self._latest.describe(), since))
            return
        line = ('%s  %s' % (self._latest.draw(), since))[: line_width() - 1]
        if line != self._drawn:
            self._drawn = line
            self._write(ERASE_LINE + line + '\r')  # the next output overwrites it

    def end(self) -> None:
        """Erase the line on the terminal."""
        self._latest = None
        if self._drawn:
            self._drawn = ''
            self._write(ERASE_LINE)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):  # a closed terminal must not end the work
                self._stream.write(text)
                self._stream.flush()
