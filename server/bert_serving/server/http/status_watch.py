"""A thread that polls the status of a server, at most once a second for all callers.

So probes and metrics take no connection and no thread from encoding requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from bert_serving.client import BertClient

from .backend import STATUS_AGE_S
from .health import StatusSnapshot

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""Seconds without a status after which the ventilator counts as dead."""


class StatusWatch:
    """A thread that requests the server's status whenever a caller needs a newer one."""

    def __init__(self, client: BertClient) -> None:
        self._client = client
        self._client.timeout = 1000 * TIMEOUT_S
        self._changed = threading.Condition()  # guards everything below
        self._status: Mapping[str, Any] | None = None
        self._has_answered = False
        """Whether the server answered the last request."""
        self._asked_at = float('-inf')
        """The time of the last finished request. Without an answer, the time when it was given up."""
        self._asking_since = float('-inf')
        """The time of the current request, if there is one."""
        self._is_wanted = False
        self._is_closed = False
        threading.Thread(target=self._run, name='status', daemon=True).start()

    def latest(self, max_age_s: float) -> StatusSnapshot:
        """Wait for a status that is at most `max_age_s` old, and return the latest one.

        It waits at most for the server's time limit, and not at all if the status is new enough. If that is older than
        `STATUS_AGE_S`, it also requests the next one for later callers. It never fails: if the server is away, the
        snapshot is not fresh.
        """
        with self._changed:
            oldest = time.monotonic() - max_age_s
            self._refresh(max_age_s)
            if self._asked_at <= oldest:
                self._changed.wait_for(lambda: self._asked_at > oldest or self._is_closed, TIMEOUT_S + 1)
            return StatusSnapshot(self._status, self._has_answered and self._asked_at > oldest)

    def last(self) -> tuple[StatusSnapshot, float]:
        """The outcome of the last request, and its time: when it was sent or, without an answer, given up.

        The time is -inf before the first. If it is older than `STATUS_AGE_S`, this requests the next status.
        """
        with self._changed:
            self._refresh(STATUS_AGE_S)
            return StatusSnapshot(self._status, self._has_answered), self._asked_at

    def _refresh(self, max_age_s: float) -> None:
        """Request a status if the last one is older than `max_age_s` or `STATUS_AGE_S`."""
        if max(self._asked_at, self._asking_since) <= time.monotonic() - min(max_age_s, STATUS_AGE_S):
            self._is_wanted = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread and every waiting call of `latest`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._wait_until_wanted():
            with self._changed:
                asked_at = self._asking_since = time.monotonic()
            try:
                status = self._client.server_status
            except Exception as error:  # of any kind: the next request might succeed
                logger.debug('could not get the status of the server: %s: %s', type(error).__name__, error)
                status = None
            with self._changed:
                self._status = status or self._status
                self._has_answered = status is not None
                self._asked_at = asked_at if status is not None else time.monotonic()
                self._asking_since = float('-inf')
                self._changed.notify_all()

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_wanted or self._is_closed)
            self._is_wanted = False
            return not self._is_closed
