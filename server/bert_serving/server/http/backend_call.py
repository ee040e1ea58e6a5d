"""One request's turn at the server behind: until when it may take, whether anybody still waits, and what it came to.

Used by the routes that encode, within a request of Flask's. What is noted here, `app` counts and puts in a header.
"""

from __future__ import annotations

import time
from types import TracebackType

from flask import current_app, g, request

from .backend import Encoding
from .errors import Fault

RECEIVED_AT = 'bert_serving.received_at'
"""In the WSGI environment: when the request had been read, by `time.monotonic`; it may have waited since."""

IS_GONE = 'waitress.client_disconnected'
"""In the WSGI environment: waitress's function that tells whether the caller has hung up."""

TIMEOUT_S = 'BERT_SERVING_TIMEOUT_S'
"""In the configuration of the app: how long a request may take."""


class Turn:
    """A context manager around the call of the backend; `note` what it answered."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_gone = request.environ.get(IS_GONE, lambda: False)
        self.seconds = 0.0
        self.rows = 0
        self.tokens = 0

    @classmethod
    def of_request(cls) -> Turn:
        """The turn of the request that is being served.

        Raises:
            Fault: DeadlineExceeded, it has waited for too long already.
        """
        deadline = received_at() + current_app.config[TIMEOUT_S]
        if time.monotonic() >= deadline:
            raise Fault(
                'DeadlineExceeded', "the time limit was over before it was this request's turn: try again later"
            )
        turn = cls(deadline)
        g.turn = turn
        return turn

    def __enter__(self) -> Turn:
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
