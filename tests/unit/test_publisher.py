"""The publisher: replies wait for their readers, within limits, and no reply vanishes without a report."""

from __future__ import annotations

import pytest

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.ring import (
    ClientGone,
    Drain,
    Published,
    Refuse,
    Status,
)
from bert_serving.server.protocol.wire import MAX_IDENTITY_BYTES, SAFE_TOPIC_BYTES, exact_topic
from bert_serving.server.sink.events import (
    Subscribed,
    Tick,
    Unsubscribed,
)
from bert_serving.server.sink.limits import SinkLimits
from unit.sink_double import ME, SinkDouble, a_part


def test_an_empty_subscription_is_refused() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(b''))
    assert sink.accepted == []
    assert 'empty subscription' in sink.warnings[0]


def test_when_the_last_of_two_clones_leaves_answers_wait_again() -> None:
    sink = SinkDouble()
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
    sink = SinkDouble()
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
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(Subscribed(b'other'))
    sink.full = {ME}
    sink.handle(a_part(number=1))
    sink.handle(a_part(number=2, identity=b'other'))
    assert sink.ids == [b'2']


def test_a_reader_that_takes_nothing_for_too_long_may_lose_answers_which_count_as_discarded() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    for number in (1, 2):
        sink.handle(a_part(number=number), 0)
    sink.handle(Tick(), 9)
    assert sink.forced == 0
    sink.handle(Tick(), 10)
    assert sink.forced == 2
    assert len(sink.warnings) == 1
    assert 'client' in sink.warnings[0]
    sink.handle(a_part(number=3), 11)
    assert sink.forced == 3
    assert sink.decider.publisher.discarded == 3
    assert [report for report in sink.reports if isinstance(report, Published)] == [
        Published(number, False) for number in (1, 2, 3)
    ]


def test_a_new_subscription_ends_the_loss() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1), 0)
    sink.handle(Tick(), 10)
    sink.full = set()
    sink.handle(Subscribed(ME), 11)
    sink.handle(a_part(number=2), 11)
    assert sink.forced == 1
    assert sink.reports[-1] == Published(2, True)


def test_a_slow_reader_that_moves_on_is_not_taken_for_a_full_one() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    for number in (1, 2, 3):
        sink.handle(a_part(number=number), 0)
    for now in (8, 16, 24):  # one each time
        assert sink.decider.publisher.is_blocked
        sink.room = 1
        sink.handle(Tick(), now)
    assert sink.ids == [b'1', b'2', b'3']
    assert sink.forced == 0
    assert not sink.decider.publisher.is_blocked


def test_a_full_reader_that_leaves_makes_its_answers_wait_for_the_next() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1), 0)
    sink.handle(Unsubscribed(ME), 1)
    assert not sink.decider.publisher.is_blocked
    sink.full = set()
    sink.handle(Subscribed(ME), 2)
    assert sink.ids == [b'1']


def test_at_the_end_answers_wait_only_a_moment_for_clients_that_are_not_there() -> None:
    sink = SinkDouble()
    sink.handle(Drain(), 0)
    sink.handle(a_part(), 0)
    sink.handle(Tick(), 1.9)
    assert sink.decider.publisher.discarded == 0
    sink.handle(Tick(), 2)
    assert sink.reports[-1] == Published(1, False)


def test_an_answer_that_nobody_subscribes_to_expires_counted_and_told() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(a_part(number=1), 0)
    sink.handle(Status(ME, b'8', b'{}'), 5)
    sink.handle(Tick(), 9)
    assert sink.decider.publisher.discarded == 0
    sink.handle(Tick(), 10)
    assert sink.decider.publisher.discarded == 1
    assert sink.reports[-1] == Published(1, False)
    assert 'client' in sink.warnings[0]
    sink.handle(Tick(), 15)
    assert sink.decider.publisher.discarded == 2
    sink.handle(Subscribed(ME), 15)
    assert sink.published == []


def test_the_oldest_unread_answers_are_discarded_beyond_the_limit_of_bytes() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes=170))
    for number, identity in enumerate((b'one', b'two', b'three'), 1):
        sink.handle(a_part(number=number, identity=identity), number)
    assert '170 bytes wait' in sink.warnings[0]
    assert Published(1, False) in sink.reports
    for identity in (b'one', b'two', b'three'):
        sink.handle(Subscribed(identity), 4)
    assert sink.ids == [b'2', b'3']


def test_an_answer_that_is_sent_at_once_costs_nobody_elses() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes=100))
    sink.handle(a_part(number=1, identity=b'idle'))
    sink.handle(Subscribed(ME))
    sink.handle(a_part(number=2))
    assert sink.ids == [b'2']
    assert sink.warnings == []


def test_what_a_full_reader_has_waiting_counts_against_the_limit_of_bytes() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes=100))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1), 0)
    sink.handle(a_part(number=2), 1)
    assert Published(1, False) in sink.reports
    sink = SinkDouble(SinkLimits(unread_bytes=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(), 0)
    assert sink.reports[-1] == Published(1, False)
    assert not sink.decider.publisher.is_blocked
    sink.handle(Tick(), 1)
    assert sink.ids == []


def test_when_the_last_subscriber_has_been_away_for_the_grace_time_the_ventilator_is_told() -> None:
    sink = SinkDouble(SinkLimits(gone_s=20))
    for topic in (ME, ME, b'other'):
        sink.handle(Subscribed(topic), 0)
    sink.handle(Unsubscribed(ME), 1)
    sink.handle(Tick(), 50)
    assert sink.reports == [], 'a clone is still there'
    sink.handle(Unsubscribed(ME), 60)
    sink.handle(Unsubscribed(b'other'), 70)
    sink.handle(Tick(), 79)
    assert sink.reports == []
    sink.handle(Tick(), 80)
    assert sink.reports == [ClientGone(ME, 20)]
    sink.handle(Tick(), 100)
    assert sink.reports == [ClientGone(ME, 20), ClientGone(b'other', 30)]


def test_a_client_that_comes_back_within_the_grace_time_is_not_gone() -> None:
    sink = SinkDouble(SinkLimits(gone_s=20))
    sink.handle(Subscribed(ME), 0)
    sink.handle(Unsubscribed(ME), 0)
    sink.handle(Subscribed(ME), 19)
    sink.handle(Tick(), 100)
    assert sink.reports == []


def test_departed_identities_are_remembered_up_to_a_limit() -> None:
    sink = SinkDouble(SinkLimits(gone_s=20, departed_identities=2))
    for topic in (b'a', b'b', b'c'):
        sink.handle(Subscribed(topic), 0)
        sink.handle(Unsubscribed(topic), 0)
    sink.handle(Tick(), 20)
    assert sink.reports == [ClientGone(b'b', 20), ClientGone(b'c', 20)]


def test_a_reader_that_does_not_move_is_cut_off_when_it_has_too_many_bytes_unread() -> None:
    """Nobody else loses anything, and the replies wait for it to come back."""
    sink = SinkDouble(SinkLimits(unread_bytes_of_identity=170, slow_s=5))
    sink.handle(Subscribed(ME))
    sink.handle(Subscribed(b'other'))
    sink.full = {ME}
    for number in (1, 2, 3):
        sink.handle(a_part(number=number), 0)
    sink.handle(Tick(), 4.9)
    assert sink.cut_off == []
    sink.handle(Tick(), 5)
    assert sink.cut_off == [ME]
    assert 'closed the connections of client' in sink.warnings[-1]
    sink.handle(a_part(number=9, identity=b'other'), 5)
    assert sink.ids == [b'9']
    sink.full = set()
    sink.handle(Subscribed(ME), 6)
    assert sink.ids == [b'9', b'1', b'2', b'3']
    assert sink.decider.publisher.discarded == 0


def test_a_reader_that_moves_on_is_not_cut_off_however_much_it_has_unread() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes_of_identity=170, slow_s=5))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    for number in range(1, 7):
        sink.handle(a_part(number=number), 0)
    for now in (4, 8, 12):  # one each time
        sink.room = 1
        sink.handle(Tick(), now)
    assert sink.cut_off == []
    assert sink.ids == [b'1', b'2', b'3']


def test_a_single_reply_is_never_too_many_bytes_unread() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes_of_identity=10, slow_s=5))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(), 0)
    sink.handle(Tick(), 30)
    assert (sink.cut_off, sink.decider.publisher.discarded) == ([], 0)


def test_without_a_reader_an_identity_loses_its_own_oldest_replies_beyond_its_bytes() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes_of_identity=170))
    sink.handle(a_part(number=9, identity=b'other'))
    for number in (1, 2, 3):
        sink.handle(a_part(number=number))
    assert [report for report in sink.reports if isinstance(report, Published)] == [Published(1, False)]
    assert 'it has more than 170 bytes unread' in sink.warnings[-1]


def test_who_has_most_of_the_unread_bytes_loses_replies_before_those_who_have_waited_longer() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes=400))
    sink.handle(Subscribed(b'hog'))
    sink.full = {b'hog'}
    sink.handle(a_part(number=9), 0)
    for number in range(1, 6):
        sink.handle(a_part(number=number, identity=b'hog'), 1)
    lost = [report.number for report in sink.reports if isinstance(report, Published)]
    assert lost
    assert 9 not in lost


def test_errors_to_many_identities_that_nobody_claims_are_discarded_from_the_oldest() -> None:
    sink = SinkDouble(SinkLimits(identities_without_subscriber=2))
    for number in range(1, 4):
        sink.handle(Refuse(b'made up %d' % number, b'%d' % number, RequestError('no')), number)
    assert sink.decider.publisher.discarded == 1
    assert 'more than 2 clients' in sink.warnings[0]
    for number in range(1, 4):
        sink.handle(Subscribed(b'made up %d' % number), 5)
    assert sink.ids == [b'2', b'3']


def test_a_client_for_which_answers_come_on_and_on_keeps_nobody_elses_from_expiring() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(a_part(number=1, identity=b'busy'), 0)
    sink.handle(a_part(number=2, identity=b'quiet'), 1)
    for now in range(2, 30):
        sink.handle(a_part(number=1 + now, identity=b'busy'), now)
        sink.handle(Tick(), now)
    assert Published(2, False) in sink.reports


def test_all_expired_answers_of_a_client_go_at_once_though_others_keep_coming() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    for number in (1, 2, 3):
        sink.handle(a_part(number=number), 0)
    for number, now in enumerate((4, 8, 12, 16, 20), 10):
        sink.handle(a_part(number=number, identity=b'client %d' % number), now)
        sink.handle(Tick(), now)
    assert [Published(number, False) in sink.reports for number in (1, 2, 3)] == [True] * 3


def test_an_identity_with_answers_that_loses_its_subscriber_counts_against_the_limit() -> None:
    sink = SinkDouble(SinkLimits(identities_without_subscriber=1))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(number=1))
    sink.handle(a_part(number=2, identity=b'other'))
    sink.handle(Unsubscribed(ME))
    assert 'more than 1 clients' in sink.warnings[0]
    assert sink.reports[-1] == Published(2, False)


def test_the_answers_of_a_client_that_left_expire_unless_it_comes_back() -> None:
    sink = SinkDouble(SinkLimits(unread_s=10))
    sink.handle(Subscribed(ME))
    sink.full = {ME}
    sink.handle(a_part(), 5)
    sink.handle(Unsubscribed(ME), 6)
    sink.handle(Tick(), 14)
    assert sink.decider.publisher.waiting_replies == 1
    sink.handle(Tick(), 15)
    assert sink.reports[-1] == Published(1, False)


def test_a_subscription_longer_than_any_identity_is_refused() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(b'x' * (MAX_IDENTITY_BYTES + 1)))
    sink.handle(Subscribed(b'x' * MAX_IDENTITY_BYTES))
    assert sink.accepted == [b'x' * MAX_IDENTITY_BYTES]
    assert 'refused a subscription of 257 bytes' in sink.warnings[0]


def test_a_subscription_beyond_the_limit_is_refused_and_a_clone_of_a_subscriber_is_not() -> None:
    sink = SinkDouble(SinkLimits(subscribed_identities=2))
    for topic in (b'a', b'b', b'c', b'a'):
        sink.handle(Subscribed(topic))
    assert sink.accepted == [b'a', b'b', b'a']
    assert '2 identities have subscribers' in sink.warnings[0]
    sink.handle(Unsubscribed(b'b'))
    sink.handle(Subscribed(b'c'))
    assert sink.accepted[-1] == b'c'


def test_a_broken_invariant_is_noticed() -> None:
    sink = SinkDouble()
    sink.handle(a_part())
    sink.decider.publisher._without_subscriber.clear()
    with pytest.raises(AssertionError, match='not known to have no subscriber'):
        sink.decider.check_invariants()


# ---- a short identity that is the beginning of another


def test_among_long_identities_nobody_is_looked_for() -> None:
    sink = SinkDouble()
    identity = b'b8f7a149-8718-4765-9003-960e41a4ef6f'
    sink.handle(Subscribed(identity))
    sink.handle(a_part(identity=identity))
    assert ([frames[0] for frames in sink.published], sink.cut_off) == ([identity], [])


def test_a_subscription_to_the_beginning_of_an_identity_reads_none_of_its_replies() -> None:
    sink = SinkDouble()
    victim = b'b8f7a149-8718-4765-9003-960e41a4ef6f'
    sink.handle(Subscribed(b'b'))
    sink.handle(Subscribed(victim))
    sink.handle(a_part(identity=victim))
    assert sink.cut_off == [b'b'], 'before the reply was published'
    sink.handle(Subscribed(b'b'))
    assert sink.accepted == [b'b', victim, exact_topic(b'b')]
    sink.handle(a_part(number=2, identity=victim))
    assert sink.cut_off == [b'b'], 'once is enough'
    assert [frames[0] for frames in sink.published] == [victim, victim]


def test_an_identity_that_is_the_beginning_of_another_is_answered_under_its_exact_topic() -> None:
    sink = SinkDouble()
    for identity in (b'client1', b'client10'):
        sink.handle(Subscribed(identity))
    sink.handle(a_part(number=1, identity=b'client1'))
    sink.handle(a_part(number=2, identity=b'client10'))
    sink.handle(a_part(number=3, identity=b'client1'))
    assert len(sink.published) == 2, 'the third waits until its reader is back'
    sink.handle(Subscribed(b'client1'))
    assert [frames[0] for frames in sink.published] == [b'client1', b'client10', exact_topic(b'client1')]
    assert exact_topic(b'client1').startswith(b'client1'), 'or its own socket would not take it'


def test_no_two_short_identities_have_topics_that_match_each_other() -> None:
    identities = [b'a', b'a\0', b'a\0\0', b'\0', b'\0\0', b'x' * 15]
    topics = [exact_topic(identity) for identity in identities]
    assert len(set(topics)) == len(identities)
    assert {len(topic) for topic in topics} == {SAFE_TOPIC_BYTES}


def test_a_forgotten_beginning_of_identities_has_its_readers_come_back() -> None:
    sink = SinkDouble(SinkLimits(guessable_identities=1))
    for identity in (b'a', b'ab', b'c', b'cd'):
        sink.handle(Subscribed(identity))
    sink.handle(a_part(number=1, identity=b'ab'))
    sink.handle(Subscribed(b'a'))
    sink.handle(a_part(number=2, identity=b'cd'))
    assert sink.cut_off == [b'a', b'c', b'a']
    sink.handle(Subscribed(b'a'))
    assert sink.accepted[-2:] == [exact_topic(b'a'), b'a']


def test_a_large_reply_that_is_just_being_sent_is_not_discarded_when_a_stranger_is_cut_off_first() -> None:
    sink = SinkDouble(SinkLimits(unread_bytes=10))
    sink.handle(Subscribed(b'a'))
    sink.handle(Subscribed(b'ab'))
    sink.handle(a_part(identity=b'ab'))
    assert sink.cut_off == [b'a']
    assert sink.ids == [b'1']
