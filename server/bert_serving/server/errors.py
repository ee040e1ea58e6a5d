"""Every exception that this package raises on purpose; imported by all layers, imports nothing.

The message of each is written for the person who will read it: it says what was expected, what came and what to
do, on one line (two where a missing model needs two). `exit_code` is what `bert-serving-start` ends with when the exception ends the server.
"""

from __future__ import annotations


class ServingError(Exception):
    """Something that the person who runs the server, or a client of it, has to know."""

    exit_code = 1

    @property
    def message(self) -> str:
        """The text on one line, as it is logged and sent."""
        return ' '.join(str(self).split())


class UsageError(ServingError):
    """An option has a value that cannot work; nothing was started."""

    exit_code = 2


class ModelError(ServingError):
    """The model folder does not hold what the options ask of it."""

    exit_code = 2


class StartError(ServingError):
    """The server could not start for a reason outside its options: a port in use, a child that died."""


class ChildDied(ServingError):
    """A process that the server cannot do without has ended while it was serving."""


class RequestError(ServingError):
    """One request cannot be answered; the reason goes back to the client that asked, and harms nobody else.

    `type` is one word for programs to branch on; it is part of the wire (`{"error": {"type", "message"}}`).
    """

    type = 'BadRequest'


class TooLarge(RequestError):
    """More rows or bytes in one request than the server takes: the same again, in smaller requests, may do."""

    type = 'TooLarge'


class Busy(RequestError):
    """So much is accepted and not yet finished that no more is: the same again, later, may do."""

    type = 'Busy'


class DeadlineExceeded(RequestError):
    """The time in which the client wanted the answer is over; what was not yet computed will not be."""

    type = 'DeadlineExceeded'


class PoisonedRequest(RequestError):
    """Workers died twice while they computed this request and nothing else."""

    type = 'PoisonedRequest'


class ShuttingDown(RequestError):
    """The server is draining: what it accepted is answered, what comes now is refused."""

    type = 'ShuttingDown'


class InternalError(RequestError):
    """A fault of the server, not of the request; the log of the named process has the traceback."""

    type = 'InternalError'


class WireError(ServingError):
    """A message does not have the frames that the protocol asks for, so nobody can be answered: it is logged."""


REQUEST_ERRORS: dict[str, type[RequestError]] = {
    kind.type: kind
    for kind in (RequestError, TooLarge, Busy, DeadlineExceeded, PoisonedRequest, ShuttingDown, InternalError)
}
"""The errors that travel on the wire, by their `type`."""
