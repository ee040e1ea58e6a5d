"""Limits and requests for a scheduler, and readers of its actions."""

from __future__ import annotations

import json
from typing import Any

from bert_serving.server.protocol.options import Options
from bert_serving.server.protocol.ring import Collected, Published, Refuse
from bert_serving.server.protocol.wire import EncodeRequest
from bert_serving.server.ventilator.events import Action, SendJob, SendToSink, WorkerReady
from bert_serving.server.ventilator.limits import AdmissionLimits
from bert_serving.server.ventilator.scheduler import Scheduler

LIMITS = AdmissionLimits(
    max_batch_size=8,
    priority_batch_size=2,
    prefetch_size=4,
    max_request_rows=1000,
    max_message_bytes=100_000,
    max_queue_rows=10_000,
    max_queue_bytes=1_000_000,
)
"""The limits that the tests of the scheduler start from."""


def a_request(
    rows: int, request_id: int = 1, identity: bytes = b'client', payload: bytes | None = None, **options: Any
) -> EncodeRequest:
    if payload is None:
        payload = json.dumps(['text'] * rows).encode()
    return EncodeRequest(identity, b'%d' % request_id, rows, payload, Options(**options))


def jobs_of(actions: list[Action]) -> list[tuple[int, int, int]]:
    """(worker, number, part) of every job that is sent, in order."""
    return [(a.worker, a.job.header.request.number, a.job.header.part) for a in actions if isinstance(a, SendJob)]


def jobs_in(actions: list[Action]) -> list[SendJob]:
    return [action for action in actions if isinstance(action, SendJob)]


def messages_in(actions: list[Action]) -> list[object]:
    """What the sink is told, in order."""
    return [action.message for action in actions if isinstance(action, SendToSink)]


def a_scheduler(workers: int = 1) -> Scheduler:
    scheduler = Scheduler(LIMITS)
    for worker in range(workers):
        assert scheduler.handle(WorkerReady(worker), 0) == []
    return scheduler


def collect_and_publish(scheduler: Scheduler, action: SendJob) -> list[Action]:
    header = action.job.header
    actions = scheduler.handle(Collected(action.worker, header.request.number, header.part, header.attempt), 0)
    return actions + scheduler.handle(Published(header.request.number, True), 0)


def refusal_of(actions: list[Action]) -> str:
    """The type of the error that is the only thing to be done."""
    (refusal,) = messages_in(actions)
    assert len(actions) == 1
    assert isinstance(refusal, Refuse)
    return refusal.error.type
