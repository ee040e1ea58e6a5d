"""Many identities in the same state at once: the publisher works them off a few at a time, and forgets none."""

from __future__ import annotations

import pytest

from bert_serving.server.protocol.ring import ClientGone, Published
from bert_serving.server.sink import publisher
from bert_serving.server.sink.events import Subscribed, Tick, Unsubscribed
from bert_serving.server.sink.limits import SinkLimits
from unit.sink_double import SinkDouble, a_part

MANY = 60
RETRIED_AT_ONCE, REPORTED_AT_ONCE, DISCARDED_AT_ONCE = 10, 20, 15


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('RETRIED_AT_ONCE', 'REPORTED_AT_ONCE', 'DISCARDED_AT_ONCE'):
        monkeypatch.setattr(publisher, name, globals()[name])


def names(count: int = MANY) -> list[bytes]:
    return [b'the-client-number-%06d' % number for number in range(count)]


def test_of_many_readers_that_are_full_some_are_tried_in_a_tick_and_all_in_turn() -> None:
    sink = SinkDouble()
    sink.full = set(names())
    for number, identity in enumerate(names(), 1):
        sink.handle(Subscribed(identity))
        sink.handle(a_part(number=number, identity=identity))
    sink.full = set()
    sink.handle(Tick(), 1)
    assert len(sink.published) == RETRIED_AT_ONCE
    sink.full = {frames[0] for frames in sink.published}
    for _ in range(MANY // RETRIED_AT_ONCE - 1):
        sink.handle(Tick(), 1)
    assert {frames[0] for frames in sink.published} == set(names())


def test_those_who_stay_full_do_not_keep_others_from_being_tried() -> None:
    sink = SinkDouble()
    sink.full = set(names(RETRIED_AT_ONCE + 1))
    for number, identity in enumerate(names(RETRIED_AT_ONCE + 1), 1):
        sink.handle(Subscribed(identity))
        sink.handle(a_part(number=number, identity=identity))
    sink.full.discard(names(RETRIED_AT_ONCE + 1)[-1])
    sink.handle(Tick(), 1)
    sink.handle(Tick(), 1)
    assert [frames[0] for frames in sink.published] == names(RETRIED_AT_ONCE + 1)[-1:]


def test_many_clients_that_leave_at_once_are_reported_over_several_ticks() -> None:
    sink = SinkDouble(SinkLimits(gone_s=20))
    for event in (Subscribed, Unsubscribed):
        for identity in names():
            sink.handle(event(identity))
    counts = []
    while not counts or counts[-1]:
        before = len(sink.reports)
        sink.handle(Tick(), 21)
        counts.append(len(sink.reports) - before)
    assert max(counts) == REPORTED_AT_ONCE
    assert sink.reports == [ClientGone(identity, 21) for identity in names()]


def test_many_replies_that_expire_at_once_are_discarded_over_several_ticks() -> None:
    sink = SinkDouble(SinkLimits(unread_s=60))
    for number, identity in enumerate(names(), 1):
        sink.handle(a_part(number=number, identity=identity))
    sink.handle(Tick(), 61)
    assert len(sink.warnings) == DISCARDED_AT_ONCE
    for _ in range(MANY // DISCARDED_AT_ONCE):
        sink.handle(Tick(), 61)
    assert [report for report in sink.reports if isinstance(report, Published)] == [
        Published(number, False) for number in range(1, MANY + 1)
    ]
