"""Deadline, client-disconnect check and timing of one backend call.

The routes that encode use it, within a request of Flask. `app` reads the results for the metrics and a header.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from flask import current_app, g, request

from .backend import Encoding
from .errors import HTTPError

RECEIVED_AT = 'bert_serving.received_at'
"""In the WSGI environment: the `time.monotonic` at which the request had been read; it may have waited since."""

IS_GONE = 'bert_serving.is_gone'
"""In the WSGI environment: a function that tells whether the client has disconnected."""

TIMEOUT_S = 'BERT_SERVING_TIMEOUT_S'
"""In the configuration of the app: the time limit of a request in seconds."""


class BackendCall:
    """A context manager around the calls of the backend for a request, whose results are given to `record`.

    `deadline` is a time of `time.monotonic`; `is_gone` says whether the client has disconnected. `seconds` is the
    duration of the calls, `rows` and `tokens` the size of their results, `truncated` the rows that were cut.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_gone = request.environ.get(IS_GONE, lambda: False)
        self.seconds = 0.0
        self.rows = 0
        self.tokens = 0
        self.truncated: list[int] = []

    @classmethod
    def for_request(cls) -> BackendCall:
        """The call for the request that is being served.

        Raises:
            HTTPError: DeadlineExceeded, the request waited longer than its time limit.
        """
        deadline = received_at() + current_app.config[TIMEOUT_S]
        if time.monotonic() >= deadline:
            raise HTTPError('DeadlineExceeded', 'the request waited longer than its time limit: retry later')
        call = cls(deadline)
        g.backend_call = call
        return call

    def __enter__(self) -> BackendCall:
        self._began_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._began_at

    def record(self, encoding: Encoding, places: Sequence[int] | None = None) -> Encoding:
        """Add the size of a result, and return it; `places` are those of its rows in the request, if it has others."""
        self.rows += len(encoding.array)
        self.tokens += sum(encoding.counts or ())
        truncated = encoding.truncated if places is None else [places[row] for row in encoding.truncated]
        self.truncated = sorted([*self.truncated, *truncated])
        return encoding


def received_at() -> float:
    """The time, of `time.monotonic`, at which the request that is being served had been read."""
    if RECEIVED_AT not in request.environ:
        request.environ[RECEIVED_AT] = time.monotonic()
    moment: float = request.environ[RECEIVED_AT]
    return moment
