"""The limits on what the sink keeps, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from .joining import SLICE_BYTES


@dataclass(frozen=True, slots=True)
class SinkLimits:
    """Limits on incomplete requests and on unread replies.

    Attributes:
        unread_s: seconds that a reply waits for a subscriber, or for room in a subscriber's full queue.
        unread_s_at_the_end: seconds that a reply waits for a subscriber while the server drains.
        unread_replies: maximum waiting replies; beyond it the sink discards the oldest. Even a small error takes some
            kilobytes of memory.
        unread_bytes: maximum bytes of all waiting replies; beyond it the sink discards the oldest.
        unread_bytes_of_identity: maximum bytes of waiting replies of one identity. Beyond it, the sink disconnects
            readers that have read nothing for `slow_s`; without a reader, it discards the oldest replies. A single
            reply is always allowed.
        slow_s: seconds without reading after which such a reader is disconnected.
        identities_without_subscriber: maximum identities with replies but no subscriber; beyond it the sink discards
            the oldest. Errors to invented identities are small but can be many.
        subscribed_identities: maximum identities with subscribers; the sink refuses more.
        topics_of_connection: maximum subscriptions of a connection; one more closes it.
        topics_of_address: maximum subscriptions of all connections from one address; one more closes its connection. It
            is half of `subscribed_identities`, so that no address can lock out another.
        guessable_identities: maximum remembered identities that are the beginning of others.
        open_bytes: maximum bytes of parts of incomplete requests; beyond it the largest request gets an error.
        slice_bytes: bytes of a large reply that are copied before others are served.
        reply_bytes: maximum bytes of a reply; a request gets an error if its first part shows that the reply would be
            larger.
        gone_s: seconds without a subscriber after which the work for an identity is dropped.
        departed_identities: maximum tracked identities without a subscriber; work for others is not dropped.
        finished_numbers: remembered finished requests, to recognize late duplicates of their parts.
    """

    unread_s: float = 60.0
    unread_s_at_the_end: float = 2.0
    unread_replies: int = 100_000
    unread_bytes: int = 1 << 30
    unread_bytes_of_identity: int = 256 << 20
    slow_s: float = 5.0
    identities_without_subscriber: int = 10_000
    subscribed_identities: int = 100_000
    topics_of_connection: int = 1024
    topics_of_address: int = 50_000
    guessable_identities: int = 10_000
    open_bytes: int = 4 << 30
    slice_bytes: int = SLICE_BYTES
    reply_bytes: int = 4 << 30
    gone_s: float = 20.0
    departed_identities: int = 100_000
    finished_numbers: int = 100_000


DEFAULT_LIMITS = SinkLimits()
