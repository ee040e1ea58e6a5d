"""How far a long piece of work is: what a child says of it, and how the parent shows that.

What is shown is what was reported, bytes done of bytes there are, and the time that has passed; nothing is guessed. On a
terminal it is one line that is written over, elsewhere a line of the log now and then; work that is soon done shows
nothing at all.
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
"""For so long a log is told nothing: most work is done by then."""

LINE_EVERY_S = 5.0
"""How often a log is told."""

QUIET_ON_TERMINAL_S = 0.5
DRAW_EVERY_S = 0.1

BAR = 24
"""Columns of the bar."""

OnProgress = Callable[[str, int, int], None]
"""Called with a stage of the work, the bytes of it that are done, and all of them; 0 if these cannot be counted."""


def say_nothing(_stage: str, _done: int, _total: int) -> None:
    """An `OnProgress` for whoever does not want to know."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` bytes of a stage; a `total` of 0 is not known."""

    stage: str
    done: int
    total: int

    def describe(self) -> str:
        """In words: `read the weights: 640MB of 1.34GB, 47%`."""
        if not self.total:
            return self.stage
        return '%s: %s of %s, %d%%' % (
            self.stage, format_bytes(self.done), format_bytes(self.total), 100 * self.done // self.total)  # fmt: skip

    def draw(self) -> str:
        """As a bar with the words beside it."""
        filled = BAR * self.done // self.total if self.total else 0
        return '[%s] %s' % (('=' * filled).ljust(BAR), self.describe())


class ProgressDisplay:
    """Shows the progress of one piece of work, until `end`. Used by one thread."""

    def __init__(
        self, log: Callable[[str], None], stream: TextIO | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`log` takes a line now and then; with `stream`, a terminal, one line of that is written over instead."""
        self._log = log
        self._stream = stream
        self._clock = clock
        self._began = self._next = 0.0
        self._latest: Progress | None = None
        self._drawn = ''

    def show(self, progress: Progress) -> None:
        """The work has got so far. From the first time on it is counted how long it takes."""
        if self._latest is None:
            self._began = self._clock()
            self._next = self._began + (QUIET_S if self._stream is None else QUIET_ON_TERMINAL_S)
        self._latest = progress
        self.refresh()

    def refresh(self) -> None:
        """Time has passed, which is shown too: some stages can say no more than that they are on."""
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
            self._write(ERASE_LINE + line + '\r')  # whatever comes next is written over it

    def end(self) -> None:
        """Leave nothing of it on the terminal."""
        self._latest = None
        if self._drawn:
            self._drawn = ''
            self._write(ERASE_LINE)

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):  # the terminal is gone; that is no reason to end the work
                self._stream.write(text)
                self._stream.flush()
