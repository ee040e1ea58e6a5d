"""The sink's decisions: joining parts in any order, waiting for readers, giving up with a word, never in silence."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bert_serving.server.errors import DeadlineExceeded, RequestError
from bert_serving.server.protocol.ring import (
    ClientGone,
    Collected,
    Drain,
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
    Status,
)
from bert_serving.server.protocol.wire import MAX_IDENTITY_BYTES, Answer
from bert_serving.server.sink.events import (
    AcceptSubscription,
    Action,
    Blocked,
    Event,
    LogWarning,
    Publish,
    SendFeedback,
    Sent,
    Subscribed,
    Tick,
    Unsubscribed,
)
from bert_serving.server.sink.joining import join_parts
from bert_serving.server.sink.limits import SinkLimits
from bert_serving.server.sink.pipeline import AnswerPipeline

ME = b'client'
LIMITS = SinkLimits()


class Sink:
    """An assembler with imaginary readers: performs its actions and keeps what was published, told and complained."""

    def __init__(self, limits: SinkLimits = LIMITS) -> None:
        self.pipeline = AnswerPipeline(limits)
        self.published: list[list[Any]] = []
        self.told: list[Any] = []
        self.complaints: list[str] = []
        self.granted: list[bytes] = []
        self.full: set[bytes] = set()
        self.room = 0
        self.forced = 0

    def handle(self, event: Event, now: float = 0.0) -> None:
        actions: deque[Action] = deque(self.pipeline.handle(event, now))
        while actions:
            action = actions.popleft()
            match action:
                case Publish(reply, force):
                    self.forced += force
                    blocked = reply.identity in self.full and not force and not self.room
                    if not blocked:
                        self.room = max(0, self.room - 1)
                        self.published.append([bytes(frame) for frame in reply.frames])
                    actions.extend(self.pipeline.handle(Blocked(reply) if blocked else Sent(reply), now))
                case SendFeedback(report):
                    self.told.append(report)
                case LogWarning(text):
                    self.complaints.append(text)
                case AcceptSubscription(topic):
                    self.granted.append(topic)

    @property
    def ids(self) -> list[bytes]:
        return [frames[-1] for frames in self.published]


def a_part(
    part: int = 0, parts: int = 1, first_row: int = 0, rows: int = 2, total: int = 2, number: int = 1,
    identity: bytes = ME, array: np.ndarray | None = None, width: int = 0, tokens: list[list[str]] | None = None,
    attempt: int = 0, token_counts: list[int] | None = None,
) -> Part:  # fmt: skip
    if array is None:
        array = np.arange(first_row * 3, (first_row + rows) * 3, dtype=np.float32).reshape(rows, 3)
    header = JobHeader(
        RequestRef(number, identity, b'%d' % number, parts, total), part, attempt, first_row, rows, Lane.URGENT
    )
    return Part(4, header, Answer(str(array.dtype), list(array.shape), array.tobytes(), tokens, token_counts), width)


def array_of(frames: list[bytes]) -> np.ndarray:
    head = json.loads(frames[1])
    return np.frombuffer(frames[2], head['dtype']).reshape(head['shape'])


def test_an_answer_waits_for_its_reader_and_the_ventilator_is_told_when_it_has_gone() -> None:
    sink = Sink()
    sink.handle(Register(RequestRef(1, ME, b'1', 1, 2)))
    sink.handle(a_part())
    assert sink.published == []
    assert sink.told == [Collected(4, 1, 0, 0)]
    assert sink.pipeline.publisher.waiting_replies == 1
    sink.handle(Subscribed(ME))
    assert sink.granted == [ME]
    assert sink.ids == [b'1']
    assert sink.told[-1] == Published(1, True)
    assert sink.pipeline.publisher.waiting_replies == 0
    np.testing.assert_array_equal(array_of(sink.published[0]), np.arange(6).reshape(2, 3))


def test_the_head_of_a_result_is_what_1_10_sends() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part())
    assert sink.published[0][0] == ME
    assert json.loads(sink.published[0][1]) == {'dtype': 'float32', 'shape': [2, 3], 'tokens': ''}


def test_a_part_before_its_registration_opens_the_request() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=1, parts=2, first_row=2, rows=1, total=3))
    assert sink.pipeline.assembler.open_requests == 1
    sink.handle(Register(RequestRef(1, ME, b'1', 2, 3)))
    sink.handle(a_part(part=0, parts=2, first_row=0, rows=2, total=3))
    np.testing.assert_array_equal(array_of(sink.published[0]), np.arange(9).reshape(3, 3))
    assert sink.pipeline.assembler.open_requests == 0


def test_a_late_duplicate_of_a_finished_request_gives_credit_back_and_nothing_else() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part())
    sink.handle(a_part(attempt=1))
    sink.handle(Register(RequestRef(1, ME, b'1', 1, 2)))
    assert sink.ids == [b'1']
    assert sink.told[-1] == Collected(4, 1, 0, 1)
    assert sink.pipeline.assembler.open_requests == 0


def test_finished_numbers_are_forgotten_after_a_bound() -> None:
    sink = Sink(SinkLimits(finished_numbers=2))
    sink.handle(Subscribed(ME))
    for number in (1, 2, 3):
        sink.handle(a_part(number=number))
    assert sink.pipeline.assembler._finished == {2, 3}


def test_a_failed_part_answers_the_request_with_the_error() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    header = JobHeader(RequestRef(1, ME, b'1', 2, 4), 1, 0, 2, 2, Lane.URGENT)
    sink.handle(FailedPart(4, header, RequestError('element 2 is a number')))
    sink.handle(FailedPart(4, header, RequestError('element 3 is a number')))
    assert [json.loads(frames[1]) for frames in sink.published] == [
        {'error': {'type': 'BadRequest', 'message': 'element 2 is a number'}}
    ]
    assert sink.published[0][2:] == [b'', b'1']
    assert sink.told[1:] == [Collected(4, 1, 1, 0), Published(1, False), Collected(4, 1, 1, 0)]


def test_refusals_and_statuses_go_through_the_same_gate() -> None:
    sink = Sink()
    sink.handle(Refuse(ME, b'7', RequestError('no')))
    sink.handle(Status(ME, b'8', b'{"port": 5555}'))
    assert sink.published == []
    sink.handle(Subscribed(ME))
    assert sink.ids == [b'7', b'8']
    assert sink.published[1] == [ME, b'{"port": 5555}', b'8']
    assert sink.told == []


def test_an_empty_subscription_is_refused() -> None:
    sink = Sink()
    sink.handle(Subscribed(b''))
    assert sink.granted == []
    assert 'empty subscription' in sink.complaints[0]


def test_when_the_last_of_two_clones_leaves_answers_wait_again() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(Subscribed(ME))
    sink.handle(Unsubscribed(ME))
    sink.handle(a_part(number=1))
    assert sink.ids == [b'1']
    sink.handle(Unsubscribed(ME))
    sink.handle(Unsubscribed(ME))
    sink.handle(a_part(number=2))
    assert sink.ids == [b'1']
    sink.handle(Unsubscribed(ME))
    sink.handle(Subscribed(ME))
    assert sink.ids == [b'1', b'2']


def test_a_full_reader_gets_its_answers_in_order_when_it_has_room_again() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    for number in (1, 2, 3):
        sink.handle(a_part(number=number))
    sink.handle(Tick(), 1)
    assert sink.ids == []
    sink.full = set()
    sink.handle(Tick(), 2)
    assert sink.ids == [b'1', b'2', b'3']


def test_a_full_reader_holds_up_nobody_else() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(Subscribed(b'other'))
    sink.full = {ME}
    sink.handle(a_part(number=1))
    sink.handle(a_part(number=2, identity=b'other'))
    assert sink.ids == [b'2']


def test_a_reader_that_takes_nothing_for_the_bound_may_lose_answers_which_count_as_given_up() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    for number in (1, 2):
        sink.handle(a_part(number=number), 0)
    sink.handle(Tick(), 9)
    assert sink.forced == 0
    sink.handle(Tick(), 10)
    assert sink.forced == 2
    assert len(sink.complaints) == 1
    assert 'client' in sink.complaints[0]
    sink.handle(a_part(number=3), 11)
    assert sink.forced == 3
    assert sink.pipeline.publisher.discarded == 3
    assert [report for report in sink.told if isinstance(report, Published)] == [
        Published(number, False) for number in (1, 2, 3)
    ]


def test_a_new_subscription_ends_the_loss() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1), 0)
    sink.handle(Tick(), 10)
    sink.full = set()
    sink.handle(Subscribed(ME), 11)
    sink.handle(a_part(number=2), 11)
    assert sink.forced == 1
    assert sink.told[-1] == Published(2, True)


def test_a_slow_reader_that_moves_on_is_not_taken_for_a_full_one() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    for number in (1, 2, 3):
        sink.handle(a_part(number=number), 0)
    for now in (8, 16, 24):  # one each time
        assert sink.pipeline.publisher.is_blocked
        sink.room = 1
        sink.handle(Tick(), now)
    assert sink.ids == [b'1', b'2', b'3']
    assert sink.forced == 0
    assert not sink.pipeline.publisher.is_blocked


def test_a_full_reader_that_leaves_makes_its_answers_wait_for_the_next() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1), 0)
    sink.handle(Unsubscribed(ME), 1)
    assert not sink.pipeline.publisher.is_blocked
    sink.full = set()
    sink.handle(Subscribed(ME), 2)
    assert sink.ids == [b'1']


def test_at_the_end_answers_wait_only_a_moment_for_clients_that_are_not_there() -> None:
    sink = Sink()
    sink.handle(Drain(), 0)
    sink.handle(a_part(), 0)
    sink.handle(Tick(), 1.9)
    assert sink.pipeline.publisher.discarded == 0
    sink.handle(Tick(), 2)
    assert sink.told[-1] == Published(1, False)


def test_an_answer_too_large_for_the_memory_is_an_error_reply_and_not_a_crash() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(array=np.ones((2, 3, 7), np.float32), width=1 << 44))
    assert json.loads(sink.published[0][1])['error']['type'] == 'InternalError'


def test_an_answer_that_nobody_subscribes_to_expires_counted_and_told() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(a_part(number=1), 0)
    sink.handle(Status(ME, b'8', b'{}'), 5)
    sink.handle(Tick(), 9)
    assert sink.pipeline.publisher.discarded == 0
    sink.handle(Tick(), 10)
    assert sink.pipeline.publisher.discarded == 1
    assert sink.told[-1] == Published(1, False)
    assert 'client' in sink.complaints[0]
    sink.handle(Tick(), 15)
    assert sink.pipeline.publisher.discarded == 2
    sink.handle(Subscribed(ME), 15)
    assert sink.published == []


def test_the_oldest_unread_answers_are_given_up_beyond_the_bound_of_bytes() -> None:
    sink = Sink(SinkLimits(unread_bytes=170))
    for number, identity in enumerate((b'one', b'two', b'three'), 1):
        sink.handle(a_part(number=number, identity=identity), number)
    assert '170 bytes wait' in sink.complaints[0]
    assert Published(1, False) in sink.told
    for identity in (b'one', b'two', b'three'):
        sink.handle(Subscribed(identity), 4)
    assert sink.ids == [b'2', b'3']


def test_an_answer_that_is_sent_at_once_costs_nobody_elses() -> None:
    sink = Sink(SinkLimits(unread_bytes=100))
    sink.handle(a_part(number=1, identity=b'idle'))
    sink.handle(Subscribed(ME))
    sink.handle(a_part(number=2))
    assert sink.ids == [b'2']
    assert sink.complaints == []


def test_what_a_full_reader_has_waiting_counts_against_the_bound_of_bytes() -> None:
    sink = Sink(SinkLimits(unread_bytes=100))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1), 0)
    sink.handle(a_part(number=2), 1)
    assert Published(1, False) in sink.told
    sink = Sink(SinkLimits(unread_bytes=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(), 0)
    assert sink.told[-1] == Published(1, False)
    assert not sink.pipeline.publisher.is_blocked
    sink.handle(Tick(), 1)
    assert sink.ids == []


def test_token_level_parts_are_padded_with_zeros_to_the_widest() -> None:
    wide = a_part(part=0, parts=2, first_row=0, rows=1, total=3, array=np.ones((1, 5, 7), np.float32), width=6)
    narrow = a_part(part=1, parts=2, first_row=1, rows=2, total=3, array=np.ones((2, 3, 7), np.float32), width=4)
    answer = join_parts([narrow, wide], 3)
    assert answer.shape == [3, 6, 7]
    array = np.frombuffer(answer.body, answer.dtype).reshape(answer.shape)
    assert array[0, :5].all()
    assert not array[0, 5:].any()
    assert array[1:, :3].all()
    assert not array[1:, 3:].any()


def test_a_single_part_is_padded_too_if_it_has_to_be() -> None:
    part = a_part(rows=2, array=np.ones((2, 3, 7), np.float16), width=4)
    answer = join_parts([part], 2)
    assert (answer.dtype, answer.shape) == ('float16', [2, 4, 7])
    assert len(answer.body) == 2 * 4 * 7 * 2


def test_a_single_part_that_is_whole_is_passed_on_without_a_copy() -> None:
    part = a_part()
    assert join_parts([part], 2) is part.answer


def test_a_dropped_request_is_forgotten_with_the_parts_it_has_and_those_that_come() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(Drop(1))
    assert sink.pipeline.assembler.open_requests == 0
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4))
    sink.handle(FailedPart(4, a_part().header, RequestError('too late')))
    assert sink.pipeline.assembler.open_requests == 0
    assert sink.published == []
    assert sink.told == [Collected(4, 1, 0, 0), Collected(4, 1, 1, 0), Collected(4, 1, 0, 0)]


def test_a_request_that_is_given_up_is_answered_with_the_reason_and_its_parts_forgotten() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(Refuse(ME, b'1', DeadlineExceeded('too late'), 1))
    sink.handle(a_part(part=1, parts=2, first_row=2, total=4))
    assert [json.loads(frames[1])['error']['type'] for frames in sink.published] == ['DeadlineExceeded']
    assert sink.pipeline.assembler.open_requests == 0


def test_a_request_that_is_given_up_when_it_is_answered_has_that_one_answer() -> None:
    sink = Sink()
    sink.handle(a_part())
    sink.handle(Refuse(ME, b'1', DeadlineExceeded('too late'), 1))
    sink.handle(Subscribed(ME))
    assert [json.loads(frames[1]).get('error') for frames in sink.published] == [None]


def test_a_job_that_a_worker_has_let_go_of_gives_its_credit_back_and_nothing_else() -> None:
    sink = Sink()
    sink.handle(DroppedPart(4, a_part(attempt=2).header))
    assert sink.told == [Collected(4, 1, 0, 2)]
    assert sink.pipeline.assembler.open_requests == 0


def test_a_request_that_is_dropped_when_it_is_finished_is_remembered_once() -> None:
    sink = Sink(SinkLimits(finished_numbers=2))
    sink.handle(Subscribed(ME))
    sink.handle(a_part(number=1))
    sink.handle(Drop(1))
    sink.handle(a_part(number=2))
    sink.handle(a_part(number=1, attempt=1))
    assert sink.ids == [b'1', b'2']


def test_when_the_last_subscriber_has_been_away_for_the_grace_time_the_ventilator_is_told() -> None:
    sink = Sink(SinkLimits(gone_s=20))
    for topic in (ME, ME, b'other'):
        sink.handle(Subscribed(topic), 0)
    sink.handle(Unsubscribed(ME), 1)
    sink.handle(Tick(), 50)
    assert sink.told == [], 'a clone is still there'
    sink.handle(Unsubscribed(ME), 60)
    sink.handle(Unsubscribed(b'other'), 70)
    sink.handle(Tick(), 79)
    assert sink.told == []
    sink.handle(Tick(), 80)
    assert sink.told == [ClientGone(ME, 20)]
    sink.handle(Tick(), 100)
    assert sink.told == [ClientGone(ME, 20), ClientGone(b'other', 30)]


def test_a_client_that_comes_back_within_the_grace_time_is_not_gone() -> None:
    sink = Sink(SinkLimits(gone_s=20))
    sink.handle(Subscribed(ME), 0)
    sink.handle(Unsubscribed(ME), 0)
    sink.handle(Subscribed(ME), 19)
    sink.handle(Tick(), 100)
    assert sink.told == []


def test_identities_that_were_left_are_remembered_up_to_a_bound() -> None:
    sink = Sink(SinkLimits(gone_s=20, departed_identities=2))
    for topic in (b'a', b'b', b'c'):
        sink.handle(Subscribed(topic), 0)
        sink.handle(Unsubscribed(topic), 0)
    sink.handle(Tick(), 20)
    assert sink.told == [ClientGone(b'b', 20), ClientGone(b'c', 20)]


def test_errors_to_many_identities_that_nobody_claims_are_given_up_from_the_oldest() -> None:
    sink = Sink(SinkLimits(identities_without_subscriber=2))
    for number in range(1, 4):
        sink.handle(Refuse(b'made up %d' % number, b'%d' % number, RequestError('no')), number)
    assert sink.pipeline.publisher.discarded == 1
    assert 'more than 2 clients' in sink.complaints[0]
    for number in range(1, 4):
        sink.handle(Subscribed(b'made up %d' % number), 5)
    assert sink.ids == [b'2', b'3']


def test_a_client_for_which_answers_come_on_and_on_keeps_nobody_elses_from_expiring() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(a_part(number=1, identity=b'busy'), 0)
    sink.handle(a_part(number=2, identity=b'quiet'), 1)
    for now in range(2, 30):
        sink.handle(a_part(number=1 + now, identity=b'busy'), now)
        sink.handle(Tick(), now)
    assert Published(2, False) in sink.told


def test_the_answers_of_a_client_that_left_expire_unless_it_comes_back() -> None:
    sink = Sink(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(), 5)
    sink.handle(Unsubscribed(ME), 6)
    sink.handle(Tick(), 14)
    assert sink.pipeline.publisher.waiting_replies == 1
    sink.handle(Tick(), 15)
    assert sink.told[-1] == Published(1, False)


def test_a_subscription_longer_than_any_identity_is_refused() -> None:
    sink = Sink()
    sink.handle(Subscribed(b'x' * (MAX_IDENTITY_BYTES + 1)))
    sink.handle(Subscribed(b'x' * MAX_IDENTITY_BYTES))
    assert sink.granted == [b'x' * MAX_IDENTITY_BYTES]
    assert 'refused a subscription of 1025 bytes' in sink.complaints[0]


def test_tokenised_parts_are_padded_with_zeros_to_the_longest_row() -> None:
    long = a_part(part=0, parts=2, first_row=0, rows=1, total=3, array=np.array([[2, 7, 8, 3]], np.int32), width=4)
    short = a_part(part=1, parts=2, first_row=1, rows=2, total=3, array=np.array([[2, 3], [2, 3]], np.int32), width=2)
    answer = join_parts([short, long], 3)
    assert (answer.dtype, answer.shape) == ('int32', [3, 4])
    array = np.frombuffer(answer.body, np.int32).reshape(3, 4)
    assert array.tolist() == [[2, 7, 8, 3], [2, 3, 0, 0], [2, 3, 0, 0]]


def test_tokenised_rows_without_a_token_are_an_array_of_no_width() -> None:
    empty = [a_part(part, 2, part, 1, 2, array=np.zeros((1, 0), np.int32)) for part in range(2)]
    assert join_parts(empty, 2).shape == [2, 0]


def test_token_counts_come_in_the_order_of_the_rows() -> None:
    first = a_part(part=0, parts=2, first_row=0, rows=2, total=3, token_counts=[3, 4])
    last = a_part(part=1, parts=2, first_row=2, rows=1, total=3, token_counts=[5])
    assert join_parts([last, first], 3).token_counts == [3, 4, 5]
    assert join_parts([last, first], 3).tokens is None


def test_tokens_come_in_the_order_of_the_rows() -> None:
    first = a_part(part=0, parts=2, first_row=0, rows=2, total=3, tokens=[['a'], ['b']])
    last = a_part(part=1, parts=2, first_row=2, rows=1, total=3, tokens=[['c', 'd']])
    assert join_parts([last, first], 3).tokens == [['a'], ['b'], ['c', 'd']]


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
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(a_part(part=0, parts=2, total=4))
    sink.handle(odd)
    assert json.loads(sink.published[0][1])['error']['type'] == 'InternalError'
    assert sink.told[-1] == Published(1, False)


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
    sink = Sink()
    for event in data.draw(st.permutations(events)):
        sink.handle(event)
    answers = {int(frames[-1]): array_of(frames) for frames in sink.published}
    assert len(sink.published) == len(rows_of)
    for number, rows in rows_of.items():
        np.testing.assert_array_equal(answers[number][:, 0], 1000 * number + np.arange(rows))
    published = [report.number for report in sink.told if isinstance(report, Published)]
    assert sorted(published) == sorted(rows_of)
    assert len(sink.told) - len(published) == sum(isinstance(event, Part) for event in events), 'credit for each part'


def test_the_largest_answer_is_given_up_when_all_that_are_open_are_too_large() -> None:
    sink = Sink(SinkLimits(open_bytes=100))
    for topic in (ME, b'other'):
        sink.handle(Subscribed(topic))
    sink.handle(a_part(parts=2, number=1, identity=b'other', rows=1, total=2))  # 12 bytes
    for part in range(4):
        sink.handle(a_part(part=part, parts=9, first_row=2 * part, total=18, number=2))  # 24 each
    error = json.loads(sink.published[-1][1])['error']
    assert error['type'] == 'TooLarge'
    assert sink.told[-1] == Published(2, False)
    assert len(sink.complaints) == 1
    assert sink.pipeline.assembler.open_requests == 1
    sink.handle(a_part(part=1, parts=2, first_row=1, rows=1, total=2, number=1, identity=b'other'))
    assert array_of(sink.published[-1]).shape == (2, 3)


def test_a_subscription_beyond_the_bound_is_refused_and_a_clone_of_a_subscriber_is_not() -> None:
    sink = Sink(SinkLimits(subscribed_identities=2))
    for topic in (b'a', b'b', b'c', b'a'):
        sink.handle(Subscribed(topic))
    assert sink.granted == [b'a', b'b', b'a']
    assert '2 identities have subscribers' in sink.complaints[0]
    sink.handle(Unsubscribed(b'b'))
    sink.handle(Subscribed(b'c'))
    assert sink.granted[-1] == b'c'


def test_an_error_for_an_accepted_request_is_reported_as_its_publication() -> None:
    sink = Sink()
    sink.handle(Subscribed(ME))
    sink.handle(Register(RequestRef(7, ME, b'7', 1, 2)))
    sink.handle(Refuse(ME, b'7', RequestError('too late'), 7))
    assert sink.told == [Published(7, False)]
