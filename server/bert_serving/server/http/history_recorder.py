"""Takes the samples of the history from the status of the server, on the main thread of the proxy, without waiting."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .health import StatusSnapshot
from .status_history import EVERY_S, HttpOutcomes, StatusHistory

logger = logging.getLogger(__name__)


class HistoryRecorder:
    """Adds a sample to `history` every `EVERY_S` seconds in which the server answers.

    The proxy calls `refresh` about every second. When a sample is due, that asks for the status, and a later call finds
    the answer; a server that does not answer leaves a gap.
    """

    def __init__(
        self,
        last_status: Callable[[], tuple[StatusSnapshot, float]],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`last_status` is that of a backend. `clock` is the one of its times; `now` tells seconds since 1970."""
        self.history = StatusHistory()
        self.outcomes: Callable[[], HttpOutcomes] = HttpOutcomes
        """Returns how requests over HTTP have ended so far; the app, which counts them, sets it."""
        self._last_status = last_status
        self._clock = clock
        self._now = now
        self._due_at = clock()

    def refresh(self) -> None:
        """Take a sample if one is due and the status is there."""
        now = self._clock()
        if now < self._due_at:
            return
        snapshot, asked_at = self._last_status()
        if asked_at < self._due_at:
            return  # the backend is asking the server now
        self._due_at = asked_at + EVERY_S
        if not snapshot.is_fresh or snapshot.status is None:
            return
        try:
            self.history.add(self._now() - (now - asked_at), snapshot.status, self.outcomes())
        except (AttributeError, TypeError, ValueError) as error:  # the server is of a release with another status
            logger.debug('left out a sample: %s: %s', type(error).__name__, error)
