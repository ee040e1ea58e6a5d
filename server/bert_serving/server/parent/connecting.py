"""Connect to a cluster, and give up if it does not answer.

Ray tries for many minutes to reach an address at which no cluster is, and cannot be interrupted. So a thread connects,
and the server waits for it only so long, and not after it was told to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..cluster.interface import Cluster
from ..errors import ServingError, StartError

CONNECT_S = 60.0
"""Seconds in which a cluster must answer."""


class _Attempt(threading.Thread):
    """Connects in the background. A cluster that answers after the end of the wait is left at once."""

    def __init__(self, connect: Callable[[str], Cluster], address: str) -> None:
        super().__init__(name='connect', daemon=True)
        self._connect = connect
        self._address = address
        self._lock = threading.Lock()  # guards the next two
        self._is_given_up = False
        self._cluster: Cluster | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            cluster = self._connect(self._address)
        except Exception as error:
            self.error = error
            return
        with self._lock:
            if not self._is_given_up:
                self._cluster = cluster
                return
        cluster.close()

    def end(self) -> Cluster | None:
        """Return the cluster; if it has not answered yet, None, and nobody waits for it any more."""
        with self._lock:
            self._is_given_up = self._cluster is None
            return self._cluster


def connect_within(
    connect: Callable[[str], Cluster], address: str, is_interrupted: Callable[[], bool], seconds: float = CONNECT_S
) -> Cluster | None:
    """Return the cluster at `address`; None if `is_interrupted`, which is asked again and again and takes its time.

    Raises:
        ServingError: that of `connect`.
        StartError: the cluster has not answered in these seconds, or `connect` has failed in another way.
    """
    attempt = _Attempt(connect, address)
    attempt.start()
    deadline = time.monotonic() + seconds
    interrupted = False
    while attempt.is_alive() and not interrupted and time.monotonic() < deadline:
        interrupted = is_interrupted()
    cluster = attempt.end()
    if cluster is not None or interrupted:
        return cluster
    if isinstance(attempt.error, ServingError):
        raise attempt.error
    if attempt.error is not None:
        raise StartError('-ray %s: cannot connect to the cluster: %s' % (address, attempt.error)) from attempt.error
    raise StartError(
        '-ray %s: no cluster of Ray answered within %g s: start one with "ray start --head", or correct the address'
        % (address, seconds)
    )
