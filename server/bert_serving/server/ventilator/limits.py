"""How much the scheduler accepts, and how much it lets a worker hold."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.ring import Lane


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The options that the scheduler goes by; rows, except `prefetch_size` in batches and the bytes.

    `max_queue_rows` and `max_queue_bytes` bound what is accepted and not finished; they do not hold for a request that is
    alone there.
    """

    max_batch_size: int
    priority_batch_size: int
    prefetch_size: int
    max_request_rows: int
    max_message_bytes: int
    max_queue_rows: int
    max_queue_bytes: int

    @property
    def lane_rows(self) -> dict[Lane, int]:
        """Rows of each lane that one worker may hold.

        They share `prefetch_size` batches; each has at least one, or its largest job could never be sent.
        """
        urgent = max(1, self.prefetch_size // 2)
        bulk = max(1, self.prefetch_size - urgent)
        return {Lane.URGENT: urgent * self.max_batch_size, Lane.BULK: bulk * self.max_batch_size}
