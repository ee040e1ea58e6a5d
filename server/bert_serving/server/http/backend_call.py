"""Deadline, client-disconnect check and timing of one backend call.

Used by the routes that encode, within a request of Flask's. What is noted here, `app` counts and puts in a header.
"""

from __future__ import annotations

import time
from types import TracebackType

from flask import current_app, g, request

from .backend import Encoding
from .errors import HTTPError

RECEIVED_AT = 'bert_serving.received_at'
"""In the WSGI environment: when the request had been read, by `time.monotonic`; it may have waited since."""

IS_GONE = 'bert_serving.is_gone'
"""In the WSGI environment: a function that tells whether the client has disconnected."""

TIMEOUT_S = 'BERT_SERVING_TIMEOUT_S'
"""In the configuration of the app: how long a request may take."""


class BackendCall:
    """A context manager around the call of the backend; `note` what it answered."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_gone = request.environ.get(IS_GONE, lambda: False)
        self.seconds = 0.0
        self.rows = 0
        self.tokens = 0

    @classmethod
    def of_request(cls) -> BackendCall:
        """The call of the request that is being served.

        Raises:
            HTTPError: DeadlineExceeded, it has waited for too long already.
        """
        deadline = received_at() + current_app.config[TIMEOUT_S]
        if time.monotonic() >= deadline:
            raise HTTPError(
                'DeadlineExceeded', "the time limit was over before it was this request's turn: try again later"
            )
        call = cls(deadline)
        g.backend_call = call
        return call

    def __enter__(self) -> BackendCall:
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._began

    def note(self, encoding: Encoding) -> None:
        """The server has answered."""
        self.rows = len(encoding.array)
        self.tokens = sum(encoding.counts or ())


def received_at() -> float:
    """When the request that is being served had been read."""
    if RECEIVED_AT not in request.environ:
        request.environ[RECEIVED_AT] = time.monotonic()
    moment: float = request.environ[RECEIVED_AT]
    return moment
