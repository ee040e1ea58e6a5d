"""Replies on their way to clients. No other module of the sink knows their frames."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RequestError
from ..protocol.ring import Refuse, RequestRef, Status
from ..protocol.wire import Answer, Buffer, encode_error, encode_result, encode_status
from .spans import ReplyTrace


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """The frames of one reply, and its properties for the publisher.

    Attributes:
        identity: the client that the reply is for.
        frames: the reply in the protocol with clients.
        number: the request that the reply finishes, or None.
        answered: True for a result, False for an error.
        size: bytes in all frames.
        trace: the times of the request if it is traced.
    """

    identity: bytes
    frames: list[Buffer]
    number: int | None
    answered: bool
    size: int
    trace: ReplyTrace | None = None

    @classmethod
    def result(cls, request: RequestRef, answer: Answer, trace: ReplyTrace | None = None) -> Reply:
        """The result of `request`."""
        frames = encode_result(request.identity, request.request_id, answer)
        return cls(request.identity, frames, request.number, True, _size(frames), trace)

    @classmethod
    def error(cls, request: RequestRef, error: RequestError, trace: ReplyTrace | None = None) -> Reply:
        """The error that finishes `request`."""
        frames = encode_error(request.identity, request.request_id, error)
        return cls(request.identity, frames, request.number, False, _size(frames), trace)

    @classmethod
    def refusal(cls, refuse: Refuse) -> Reply:
        """An error from the ventilator. It finishes a request if the ventilator had accepted it."""
        frames = encode_error(refuse.identity, refuse.request_id, refuse.error)
        return cls(refuse.identity, frames, refuse.number or None, False, _size(frames))

    @classmethod
    def status(cls, status: Status) -> Reply:
        """The ventilator's reply to a status request. It finishes no request."""
        frames = encode_status(status.identity, status.request_id, status.body)
        return cls(status.identity, frames, None, True, _size(frames))

    def replaced_by(self, error: RequestError) -> Reply:
        """An error for the same request, to replace this reply."""
        frames = encode_error(self.identity, bytes(self.frames[-1]), error)
        return Reply(self.identity, frames, self.number, False, _size(frames))


def _size(frames: list[Buffer]) -> int:
    return sum(map(len, frames))
