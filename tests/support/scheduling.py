"""The limits that the tests of the scheduler start from."""

from __future__ import annotations

from bert_serving.server.ventilator.limits import AdmissionLimits

LIMITS = AdmissionLimits(
    max_batch_size=8,
    priority_batch_size=2,
    prefetch_size=4,
    max_request_rows=1000,
    max_message_bytes=100_000,
    max_queue_rows=10_000,
    max_queue_bytes=1_000_000,
)
