"""Every exception that this package raises on purpose. All layers import this module; it imports nothing.

    ServingError                  exit code 1
    ├── UsageError                an option is invalid (exit code 2)
    ├── ModelError                the model folder lacks something (exit code 2)
    ├── StartError                the server could not start
    ├── ChildDied                 a process that the server needs has ended
    ├── RequestError              the error reply to one request: BadRequest
    │   ├── TooLong               a text has too many tokens, and the request forbids truncation
    │   ├── TooLarge              too many rows or bytes
    │   ├── Busy                  too much is pending
    │   ├── QuotaExceeded         a principal's quota is reached
    │   ├── Forbidden             a principal may not do that
    │   ├── DeadlineExceeded      the client's time limit has passed
    │   ├── PoisonedRequest       the request crashed two workers
    │   ├── NotFinite             the model computes NaN or infinity for a text
    │   ├── ShuttingDown          the server is draining
    │   └── InternalError         a bug in the server
    └── WireError                 a message that cannot be answered

A message names the problem and then says what to do, on one line (two for a missing model). `exit_code` is the exit
code of `bert-serving-start` if the exception ends the server.
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of all exceptions of this package. The text is for the operator or for a client."""

    exit_code = 1

    @property
    def message(self) -> str:
        """The text on one line, for the log and for error replies."""
        return ' '.join(str(self).split())


class UsageError(ServingError):
    """An option has an invalid value. No process was started."""

    exit_code = 2


class ModelError(ServingError):
    """The model folder lacks a file or a value that the options need."""

    exit_code = 2


class StartError(ServingError):
    """The server could not start, for a reason outside its options, such as a port in use or a child that died."""


class ChildDied(ServingError):
    """A process that the server needs has ended while the server was serving."""


class RequestError(ServingError):
    """One request fails; the server sends the reason to its client. Other requests are not affected.

    `type` is a word that programs can branch on. It is part of the wire protocol (`{"error": {"type", "message"}}`).
    """

    type = 'BadRequest'


class TooLong(RequestError):
    """A text has more tokens than a row takes, and the request forbids truncation: shorten the text."""

    type = 'TooLong'


class TooLarge(RequestError):
    """The request has more rows or bytes than the server accepts: split it."""

    type = 'TooLarge'


class Busy(RequestError):
    """Too many accepted requests are pending: retry later."""

    type = 'Busy'


class QuotaExceeded(RequestError):
    """The principal has reached a quota: retry at the time that the message gives."""

    type = 'QuotaExceeded'


class Forbidden(RequestError):
    """The principal lacks a grant, or uses the identity of another: do not retry."""

    type = 'Forbidden'


class DeadlineExceeded(RequestError):
    """The client's time limit has passed. The server drops the rows that it has not computed yet."""

    type = 'DeadlineExceeded'


class PoisonedRequest(RequestError):
    """Two workers crashed while each computed this request alone: do not retry it."""

    type = 'PoisonedRequest'


class NotFinite(RequestError):
    """The model computes a NaN or an infinity for a text of the request: leave out that text."""

    type = 'NotFinite'


class ShuttingDown(RequestError):
    """The server is draining: it answers the requests that it has accepted and refuses new ones."""

    type = 'ShuttingDown'


class InternalError(RequestError):
    """A bug in the server, not in the request. The log of the named process has the traceback."""

    type = 'InternalError'


class WireError(ServingError):
    """A message lacks frames that a reply needs, so the server only logs it."""


REQUEST_ERRORS: dict[str, type[RequestError]] = {
    kind.type: kind
    for kind in (
        RequestError,
        TooLong,
        TooLarge,
        Busy,
        QuotaExceeded,
        Forbidden,
        DeadlineExceeded,
        PoisonedRequest,
        NotFinite,
        ShuttingDown,
        InternalError,
    )
}
"""The errors that the server sends to clients, by their `type`."""
