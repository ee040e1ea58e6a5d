"""Deadline, client-disconnect check and timing of one backend call.

The encoding routes use it within a Flask request. `app` reads the results for the metrics and a header.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from flask import current_app, g, request

from .backend import Encoding
from .errors import HTTPError

RECEIVED_AT = 'bert_serving.received_at'
"""The key in the WSGI environment of the time, by `time.monotonic`, at which the request was read, before it waited."""

IS_GONE = 'bert_serving.is_gone'
"""The key in the WSGI environment of a function that returns whether the client has disconnected."""

TIMEOUT_S = 'BERT_SERVING_TIMEOUT_S'
"""The key in the app's configuration of the time limit for requests in seconds."""


class BackendCall:
    """A context manager around the backend calls for a request. The routes pass the results to `record`.

    `deadline` is a time of `time.monotonic`. `is_gone` returns whether the client has disconnected. `seconds` is the
    duration of the calls, `rows` and `tokens` are the sizes of their results, and `truncated` has the truncated rows.
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
        """Make the call for the current request.

        Raises:
            HTTPError: DeadlineExceeded if the request waited longer than its time limit.
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
        """Add the size of a result, and return the result. `places` are its rows of the request, if not all."""
        self.rows += len(encoding.array)
        self.tokens += sum(encoding.counts or ())
        truncated = encoding.truncated if places is None else [places[row] for row in encoding.truncated]
        self.truncated = sorted([*self.truncated, *truncated])
        return encoding


def received_at() -> float:
    """The time, by `time.monotonic`, at which the current request was read."""
    if RECEIVED_AT not in request.environ:
        request.environ[RECEIVED_AT] = time.monotonic()
    moment: float = request.environ[RECEIVED_AT]
    return moment
