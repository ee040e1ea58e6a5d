"""The assembler: parts in any order become one reply, and a request gets one reply at most."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bert_serving.server.errors import DeadlineExceeded, RequestError
from bert_serving.server.protocol.ring import (
    Collected,
    Drop,
    DroppedPart,
    FailedPart,
    JobHeader,
    Lane,
    Part,
    Published,
    Refuse,
    Register,
    RequestRef,
)
from bert_serving.server.sink.decider import SinkDecider
from bert_serving.server.sink.events import Event, Publish, SpareTime, Subscribed
from bert_serving.server.sink.limits import SinkLimits
from unit.sink_double import ME, SinkDouble, a_part, array_of


def test_a_part_before_its_registration_opens_the_request() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=1, parts=2, first_row=2, rows=1, total=3))
    assert sink.decider.assembler.open_requests == 1
    sink.handle(Register(RequestRef(1, ME, b'1', 2, 3)))
    sink.handle(a_part(part=0, parts=2, first_row=0, rows=2, total=3))
    np.testing.assert_array_equal(array_of(sink.published[0]), np.arange(9).reshape(3, 3))
    assert sink.decider.assembler.open_requests == 0


def test_a_late_duplicate_of_a_finished_request_gives_credit_back_and_nothing_else() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part())
    sink.handle(a_part(attempt=1))
    sink.handle(Register(RequestRef(1, ME, b'1', 1, 2)))
    assert sink.ids == [b'1']
    assert sink.reports[-1] == Collected(4, 1, 0, 1)
    assert sink.decider.assembler.open_requests == 0


def test_finished_numbers_are_forgotten_beyond_the_limit() -> None:
    sink = SinkDouble(SinkLimits(finished_numbers=2))
    sink.handle(Subscribed(ME))
    for number in (1, 2, 3):
        sink.handle(a_part(number=number))
    assert sink.decider.assembler._finished == {2, 3}


def test_a_failed_part_answers_the_request_with_the_error() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    header = JobHeader(RequestRef(1, ME, b'1', 2, 4), 1, 0, 2, 2, Lane.URGENT)
    sink.handle(FailedPart(4, header, RequestError('element 2 is a number')))
    sink.handle(FailedPart(4, header, RequestError('element 3 is a number')))
    assert [json.loads(frames[1]) for frames in sink.published] == [
        {'error': {'type': 'BadRequest', 'message': 'element 2 is a number'}}
    ]
    assert sink.published[0][2:] == [b'', b'1']
    assert sink.reports[1:] == [Collected(4, 1, 1, 0), Published(1, False), Collected(4, 1, 1, 0)]


def test_an_answer_too_large_for_the_memory_is_an_error_reply_and_not_a_crash() -> None:
    sink = SinkDouble(SinkLimits(reply_bytes=1 << 62))
    sink.handle(Subscribed(ME))
    sink.handle(a_part(array=np.ones((2, 3, 7), np.float32), width=1 << 44))
    assert json.loads(sink.published[0][1])['error']['type'] == 'InternalError'


@pytest.mark.parametrize(('shape', 'width', 'size'), [((2, 3), 0, 12), ((2, 3, 7), 0, 84), ((2, 3, 7), 5, 140)])
def test_a_reply_that_would_be_too_large_is_an_error_after_the_first_part(
    shape: tuple[int, ...], width: int, size: int
) -> None:
    """And the parts that still come open nothing. `size` is the bytes of a row, padded to the width of the part."""
    for most, is_refused in ((100 * size, False), (100 * size - 1, True)):
        sink = SinkDouble(SinkLimits(reply_bytes=most))
        sink.handle(Subscribed(ME))
        sink.handle(a_part(parts=50, total=100, array=np.ones(shape, np.float32), width=width))
        assert bool(sink.published) is is_refused
        if is_refused:
            error = json.loads(sink.published[0][1])['error']
            assert error['type'] == 'TooLarge'
            assert 'the reply to 100 rows would have 1 MB' in error['message']
            assert sink.reports == [Collected(4, 1, 0, 0), Published(1, False)]
            sink.handle(a_part(part=1, parts=50, first_row=2, total=100, array=np.ones(shape, np.float32)))
            assert sink.decider.assembler.open_requests == 0


def test_tokens_that_are_shown_take_memory_too() -> None:
    sink = SinkDouble(SinkLimits(open_bytes=1000))
    sink.handle(Subscribed(ME))
    sink.handle(a_part(parts=2, total=4, tokens=[['a'] * 10, ['b'] * 10]))
    assert json.loads(sink.published[0][1])['error']['type'] == 'TooLarge'


def test_a_dropped_request_is_forgotten_with_the_parts_it_has_and_those_that_come() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(Drop(1))
    assert sink.decider.assembler.open_requests == 0
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4))
    sink.handle(FailedPart(4, a_part().header, RequestError('too late')))
    assert sink.decider.assembler.open_requests == 0
    assert sink.published == []
    assert sink.reports == [Collected(4, 1, 0, 0), Collected(4, 1, 1, 0), Collected(4, 1, 0, 0)]


def test_a_request_that_the_ventilator_refuses_late_is_answered_with_the_reason_and_its_parts_forgotten() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(Refuse(ME, b'1', DeadlineExceeded('too late'), 1))
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4))
    assert [json.loads(frames[1])['error']['type'] for frames in sink.published] == ['DeadlineExceeded']
    assert sink.decider.assembler.open_requests == 0


def test_a_request_that_is_refused_when_it_is_answered_has_that_one_answer() -> None:
    sink = SinkDouble()
    sink.handle(a_part())
    sink.handle(Refuse(ME, b'1', DeadlineExceeded('too late'), 1))
    sink.handle(Subscribed(ME))
    assert [json.loads(frames[1]).get('error') for frames in sink.published] == [None]


def test_a_job_that_a_worker_has_let_go_of_gives_its_credit_back_and_nothing_else() -> None:
    sink = SinkDouble()
    sink.handle(DroppedPart(4, a_part(attempt=2).header))
    assert sink.reports == [Collected(4, 1, 0, 2)]
    assert sink.decider.assembler.open_requests == 0


def test_a_request_that_is_dropped_when_it_is_finished_is_remembered_once() -> None:
    sink = SinkDouble(SinkLimits(finished_numbers=2))
    sink.handle(Subscribed(ME))
    sink.handle(a_part(number=1))
    sink.handle(Drop(1))
    sink.handle(a_part(number=2))
    sink.handle(a_part(number=1, attempt=1))
    assert sink.ids == [b'1', b'2']


@pytest.mark.parametrize(
    'odd',
    [
        a_part(part=1, parts=2, first_row=2, rows=2, total=4, array=np.zeros((2, 4), np.float32)),
        a_part(part=1, parts=2, first_row=2, rows=2, total=4, array=np.zeros((2, 3), np.float16)),
        a_part(part=1, parts=2, first_row=2, rows=1, total=4),
        a_part(part=1, parts=2, first_row=3, rows=2, total=4),
    ],
    ids=['other dimension', 'other dtype', 'a row missing', 'rows beyond the end'],
)
def test_parts_that_do_not_fit_together_are_an_error_reply_and_not_a_crash(odd: Part) -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(odd)
    assert json.loads(sink.published[0][1])['error']['type'] == 'InternalError'
    assert sink.reports[-1] == Published(1, False)


@hypothesis_settings(deadline=None)
@given(data=st.data())
def test_every_row_is_answered_once_and_in_order_whatever_the_order_of_parts(data: st.DataObject) -> None:
    """Several requests, each cut anywhere, their parts shuffled together, doubled, before and after registration."""
    events: list[Event] = []
    rows_of = {}
    for number in range(1, data.draw(st.integers(1, 4)) + 1):
        sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
        rows_of[number] = sum(sizes)
        events.append(Register(RequestRef(number, ME, b'%d' % number, len(sizes), sum(sizes))))
        first_row = 0
        for part, rows in enumerate(sizes):
            array = (1000 * number + np.arange(first_row, first_row + rows, dtype=np.float32))[:, None].repeat(3, 1)
            made = a_part(part, len(sizes), first_row, rows, sum(sizes), number, array=array)
            events += [made] * data.draw(st.integers(1, 2))
            first_row += rows
    events.insert(0, Subscribed(ME))
    sink = SinkDouble()
    for event in data.draw(st.permutations(events)):
        sink.handle(event)
    answers = {int(frames[-1]): array_of(frames) for frames in sink.published}
    assert len(sink.published) == len(rows_of)
    for number, rows in rows_of.items():
        np.testing.assert_array_equal(answers[number][:, 0], 1000 * number + np.arange(rows))
    published = [report.number for report in sink.reports if isinstance(report, Published)]
    assert sorted(published) == sorted(rows_of)
    assert len(sink.reports) - len(published) == sum(isinstance(event, Part) for event in events), (
        'credit for each part'
    )


def test_the_largest_request_is_discarded_when_all_that_are_open_are_too_large() -> None:
    sink = SinkDouble(SinkLimits(open_bytes=100))
    for topic in (ME, b'other'):
        sink.handle(Subscribed(topic))
    sink.handle(a_part(parts=2, number=1, identity=b'other', rows=1, total=2))  # 12 bytes
    for part in range(4):
        sink.handle(a_part(part=part, parts=9, first_row=2 * part, total=18, number=2))  # 24 each
    error = json.loads(sink.published[-1][1])['error']
    assert error['type'] == 'TooLarge'
    assert sink.reports[-1] == Published(2, False)
    assert len(sink.warnings) == 1
    assert sink.decider.assembler.open_requests == 1
    sink.handle(a_part(part=1, parts=2, first_row=1, rows=1, total=2, number=1, identity=b'other'))
    assert array_of(sink.published[-1]).shape == (2, 3)


SLICES = SinkLimits(slice_bytes=8)
"""A row of the parts below is larger, so all is copied when the last part has come, a row at a time."""


def with_all_parts(sink: SinkDouble) -> SinkDouble:
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4))
    return sink


def test_a_large_reply_is_joined_in_slices_between_which_others_are_answered() -> None:
    sink = with_all_parts(SinkDouble(SLICES))
    assert sink.decider.is_joining
    sink.handle(SpareTime())
    sink.handle(a_part(number=2))
    assert sink.ids == [b'2']
    for _ in range(4):
        sink.handle(SpareTime())
    assert sink.ids == [b'2', b'1']
    assert not sink.decider.is_joining
    np.testing.assert_array_equal(array_of(sink.published[1]), np.arange(12).reshape(4, 3))
    sink.handle(SpareTime())


def test_a_request_counts_as_collected_only_when_it_is_joined() -> None:
    """Or the ventilator would not know that a sink that dies of joining it had it alone."""
    sink = with_all_parts(SinkDouble(SLICES))
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4, attempt=1))
    assert sink.reports == [Collected(4, 1, 0, 0), Collected(4, 1, 1, 1)]
    while sink.decider.is_joining:
        sink.handle(SpareTime())
    assert sink.reports[2:] == [Collected(4, 1, 1, 0), Published(1, True)]


@pytest.mark.parametrize('end', [Drop(1), Refuse(ME, b'1', DeadlineExceeded('too late'), 1)])
def test_a_request_that_ends_while_it_is_joined_gives_its_credit_back(end: Event) -> None:
    sink = with_all_parts(SinkDouble(SLICES))
    sink.handle(SpareTime())
    sink.handle(end)
    assert not sink.decider.is_joining
    assert sink.reports[:2] == [Collected(4, 1, 0, 0), Collected(4, 1, 1, 0)]
    assert sink.decider.assembler.open_requests == 0


def test_a_request_that_is_being_joined_is_not_discarded_for_want_of_memory() -> None:
    sink = with_all_parts(SinkDouble(SinkLimits(slice_bytes=8, open_bytes=50)))
    sink.handle(a_part(parts=2, total=4, number=2))
    assert sink.decider.is_joining
    assert [json.loads(frames[1])['error']['type'] for frames in sink.published] == ['TooLarge']
    assert sink.ids == [b'2']


def test_parts_that_do_not_fit_together_are_an_error_when_they_are_joined_in_slices() -> None:
    sink = SinkDouble(SLICES)
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4, array=np.zeros((2, 4), np.float32)))
    while sink.decider.is_joining:
        sink.handle(SpareTime())
    assert json.loads(sink.published[0][1])['error']['type'] == 'InternalError'


def test_a_broken_invariant_is_noticed() -> None:
    sink = SinkDouble()
    sink.handle(a_part(parts=2, total=4))
    sink.decider.assembler._open_bytes = 0
    with pytest.raises(AssertionError, match='open bytes are miscounted'):
        sink.decider.check_invariants()


def test_no_step_takes_long_for_a_reply_of_hundreds_of_megabytes() -> None:
    """Of the time of this thread, so that a busy machine does not count."""
    rows, parts = 256, 200
    array = np.ones((rows, 512), np.float32)
    sink = SinkDecider()
    sink.handle(Subscribed(ME), 0)
    longest, posted = 0.0, 0
    for part in range(parts):
        event = a_part(part, parts, part * rows, rows, parts * rows, array=array)
        started = time.thread_time()
        posted += any(isinstance(action, Publish) for action in sink.handle(event, 0))
        longest = max(longest, time.thread_time() - started)
    assert posted == 1
    assert longest < (0.05 if sys.gettrace() is None else 0.25)
