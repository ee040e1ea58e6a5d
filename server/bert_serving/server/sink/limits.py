"""How much the sink keeps, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """How long and how much the sink keeps for clients that do not read."""

    unread_s: float = 60.0
    """How long an answer waits for a subscriber, or for a subscriber's full queue to move."""
    unread_s_at_the_end: float = 2.0
    """How long it waits for a subscriber when the server is about to stop."""
    unread_replies: int = 100_000
    """Answers that wait; beyond it the oldest are given up. Errors are small, but each takes some kilobytes of memory."""
    unread_bytes: int = 1 << 30
    """Bytes of all answers that wait; beyond it the oldest are given up."""
    identities_without_subscriber: int = 10_000
    """Identities without a subscriber for which answers wait; beyond it the oldest are given up. Errors to what made up its
    identity are small, but many."""
    subscribed_identities: int = 100_000
    """Identities that have subscribers; one more is refused."""
    open_bytes: int = 4 << 30
    """Bytes of parts that wait for others of their request; beyond it the largest request is answered with an error."""
    gone_s: float = 20.0
    """How long an identity may have no subscriber before the work for it is dropped."""
    departed_identities: int = 100_000
    """Identities that are remembered to have been left; of one that is not, the work is done for nobody."""
    finished_numbers: int = 100_000
    """How many finished requests are remembered, to know late duplicates of their parts."""


DEFAULT_LIMITS = SinkLimits()
