"""The events and the actions of the sink's deciders.

Some events are messages of `protocol/ring.py`. The loop in `sink.py` makes the events and performs the actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.ring import Drain, Drop, DroppedPart, FailedPart, Part, Refuse, Register, SinkReport, Status
from ..protocol.tracing import Span
from .replies import Reply

# ---- events


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A client's connection has subscribed to `topic`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """A client's connection has unsubscribed from `topic` or is lost."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """ZeroMQ has accepted the reply of a `Publish`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Blocked:
    """ZeroMQ has rejected the reply of a `Publish`, because a subscriber's queue is full. A `Tick` retries it."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class SpareTime:
    """Everything that had come was handled: there is time for another slice of what is long."""


RingEvent = Part | FailedPart | DroppedPart | Register | Refuse | Status | Drop | Drain
Event = RingEvent | Subscribed | Unsubscribed | Sent | Blocked | Tick | SpareTime

# ---- actions


@dataclass(frozen=True, slots=True)
class AcceptSubscription:
    """Subscribe the connection of the last `Subscribed` to `topic`. Do it before reading the next subscription.

    The topic can differ from the one in `Subscribed`: see `wire.exact_topic`.
    """

    topic: bytes


@dataclass(frozen=True, slots=True)
class CutOffReaders:
    """Close the connections that subscribe to `topic`, and report each as `Unsubscribed`, before any other event."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class CutOffSlowReaders:
    """Close the connections that subscribe to `topic` but do not read, and report each as `Unsubscribed`."""

    topic: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """Send `reply`, then report `Sent` or `Blocked`.

    With `force`, drop it for subscribers with a full queue, and report `Sent`. `topic`, if set, replaces the identity
    as the first frame.
    """

    reply: Reply
    force: bool = False
    topic: bytes | None = None


@dataclass(frozen=True, slots=True)
class SendFeedback:
    """Send `report` to the ventilator."""

    report: SinkReport


@dataclass(frozen=True, slots=True)
class LogWarning:
    """Log `text` as a warning."""

    text: str


@dataclass(frozen=True, slots=True)
class EmitSpans:
    """Make OpenTelemetry spans below the parent in `traceparent`."""

    traceparent: str
    spans: Sequence[Span]


Action = AcceptSubscription | CutOffReaders | CutOffSlowReaders | Publish | SendFeedback | LogWarning | EmitSpans
