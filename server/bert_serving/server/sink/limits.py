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
        unread_bytes: bytes of all replies that wait; beyond it the oldest are discarded.
        unread_bytes_of_identity: bytes of the replies of one identity that wait. Beyond it, readers that have not moved
            for `slow_s` are cut off, and without any the oldest replies are discarded. One reply is never too much.
        slow_s: seconds in which a reader with so much unread has to take something.
        identities_without_subscriber: identities that have replies and no subscriber; beyond it the oldest are
            discarded. Errors to invented identities are small, but can be many.
        subscribed_identities: identities that have subscribers; one more is refused.
        topics_of_connection: subscriptions of one connection; one more ends it.
        topics_of_address: subscriptions of all connections from one address; one more ends its connection. Half of
            `subscribed_identities`, so that no address locks out another.
        guessable_identities: identities that were found to be the beginning of others, and are remembered.
        open_bytes: bytes of parts that wait for others of their request; beyond it the largest request gets an error.
        slice_bytes: bytes of a large reply that are copied before others are served.
        reply_bytes: bytes of a reply; a request whose first part shows that its reply would be larger gets an error.
        gone_s: seconds that an identity can be without a subscriber until the work for it is dropped.
        departed_identities: identities without a subscriber that are remembered for that; the work for any other is
            done for nobody.
        finished_numbers: finished requests that are remembered, so that late duplicates of their parts are known.
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
