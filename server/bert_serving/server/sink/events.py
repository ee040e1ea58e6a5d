"""What the assembler is told, and what it answers: events go in, actions come out.

Some events are messages of `ring.py`. `sink.py` makes them, and performs the actions.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.ring import Drain, Drop, DroppedPart, FailedPart, Part, Refuse, Register, SinkReport, Status
from ..protocol.wire import Buffer

# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client's connection has subscribed to `topic`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A client's connection has unsubscribed, or is gone."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """The reply of a `Publish` has been handed to the transport."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Blocked:
    """The reply of a `Publish` could not be sent: a subscriber's queue is full. It is tried again at the next `Tick`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Part | FailedPart | DroppedPart | Register | Refuse | Status | Drop | Drain | Subscribed | Unsubscribed | Sent
    | Blocked | Tick
)  # fmt: skip

# --- actions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """Frames for a client. `number` is the request that they finish, None if they finish none.

    `answered` is whether it is the answer that was asked for, and not an error.
    """

    identity: bytes
    frames: list[Buffer]
    number: int | None
    answered: bool
    size: int


@dataclass(frozen=True, slots=True)
class AcceptSubscription:
    """Let the connection that has just subscribed have `topic`; to be done before the next event is read."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """Send `reply`, then report `Sent` or `Blocked`.

    With `force`, send it to those who can take it and report `Sent`, though a full queue drops it.
    """

    reply: Reply
    force: bool = False


@dataclass(frozen=True, slots=True)
class SendFeedback:
    """Send `report` round the ring to the ventilator."""

    report: SinkReport


@dataclass(frozen=True, slots=True)
class LogWarning:
    """Write `text` to the log as a warning."""

    text: str


Action = AcceptSubscription | Publish | SendFeedback | LogWarning
