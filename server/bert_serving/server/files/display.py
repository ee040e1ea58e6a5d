"""Show the progress of a job: a tqdm bar on a terminal, and a log line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from ..console.formatting import format_duration
from ..console.terminal import is_terminal
from .estimate import Progress

logger = logging.getLogger(__name__)

LINE_EVERY_S = 10.0
"""Seconds between two lines of the log."""


class Display:
    """The display of one job. A context manager."""

    def __init__(self, begun: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`begun` is the number of rows that earlier runs have finished."""
        self._begun = begun
        self._clock = clock
        self._next = clock() + LINE_EVERY_S
        self._bar: Any = None

    def __enter__(self) -> Display:
        if is_terminal(sys.stderr):
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                self._bar = tqdm(initial=self._begun, unit=' rows', unit_scale=True, file=sys.stderr)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress) -> None:
        """Show the progress."""
        if self._bar is not None:
            self._bar.total = progress.total
            self._bar.update(progress.rows - self._bar.n)
            return
        now = self._clock()
        if now < self._next:
            return
        self._next = now + LINE_EVERY_S
        total, left = progress.total, progress.seconds_left
        words = ['rows=%d' % progress.rows]
        words += [] if total is None else ['of_about=%d' % total]
        words += ['errors=%d rows_per_s=%d' % (progress.errors, progress.rows_per_s)]
        words += [] if left is None else ['left=%s' % format_duration(left)]
        logger.info('encoded %s', ' '.join(words))
