"""The limits on accepted requests, and on the rows that a worker holds."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Busy, TooLarge
from ..protocol.elements import SLICE_BYTES
from ..protocol.ring import Lane
from ..protocol.wire import EncodeRequest

SPARE_ROWS = 1000
"""Rows that one client can always have in the queue, even if they exceed its share."""

SPARE_BYTES = 64 << 20
"""Bytes that one client can always have in the queue, even if they exceed its share."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The limits of the scheduler, from the options: rows, `prefetch_size` in batches, and bytes.

    A request of more than `split_bytes` is split in slices of as many. `max_queue_rows` and `max_queue_bytes` limit all
    accepted and unfinished requests together. A request that would be the only one is always accepted.
    """

    max_batch_size: int
    priority_batch_size: int
    prefetch_size: int
    max_request_rows: int
    max_message_bytes: int
    max_queue_rows: int
    max_queue_bytes: int
    split_bytes: int = SLICE_BYTES // 2

    @property
    def lane_rows(self) -> dict[Lane, int]:
        """The rows of each lane that one worker can hold.

        The lanes share `prefetch_size` batches. Each gets at least one, because otherwise its largest job could never
        be sent.
        """
        urgent = max(1, self.prefetch_size // 2)
        bulk = max(1, self.prefetch_size - urgent)
        return {Lane.URGENT: urgent * self.max_batch_size, Lane.BULK: bulk * self.max_batch_size}

    def check_size(self, request: EncodeRequest) -> None:
        """Raise TooLarge if the request alone exceeds the limits. The time does not depend on its size."""
        if request.rows > self.max_request_rows:
            raise TooLarge(
                'the request has %d rows, but -max_request_rows of the server is %d: split it'
                % (request.rows, self.max_request_rows)
            )
        if len(request.payload) > self.max_message_bytes:
            raise TooLarge(
                'the message has %d bytes, but -max_message_bytes of the server is %d: split the request'
                % (len(request.payload), self.max_message_bytes)
            )

    def check_share(self, rows: int, own_rows: int, more_rows: int) -> None:
        """Raise Busy if a client with `own_rows` of all `rows` would exceed half of the rows that others leave free."""
        share = max(SPARE_ROWS, (self.max_queue_rows - (rows - own_rows)) // 2)
        if own_rows + more_rows > share:
            raise Busy(
                'server busy: this client has %d rows pending, and its share is %d, half of what others leave free of '
                '-max_queue_rows %d; retry after some of its replies have come' % (own_rows, share, self.max_queue_rows)
            )

    def check_share_of_memory(self, memory_bytes: int, own_bytes: int, more_bytes: int) -> None:
        """Raise Busy if the requests of a client would exceed half of the memory that others leave free."""
        share = max(SPARE_BYTES, (self.max_queue_bytes - (memory_bytes - own_bytes)) // 2)
        if own_bytes + more_bytes > share:
            raise Busy(
                'server busy: this client has requests of %d MB pending, and its share is %d MB, half of what others '
                'leave free; retry after some of its replies have come' % (own_bytes >> 20, share >> 20)
            )

    def check_queue(self, rows: int, more_rows: int, memory_bytes: int, more_bytes: int) -> None:
        """Raise Busy if the request would exceed the limits, with `rows` and `memory_bytes` already accepted."""
        if rows + more_rows > self.max_queue_rows or memory_bytes + more_bytes > self.max_queue_bytes:
            raise Busy(
                'server busy: %d rows pending (limit %d rows or %d MB); retry later'
                % (rows, self.max_queue_rows, self.max_queue_bytes >> 20)
            )
