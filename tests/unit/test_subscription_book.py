"""Which connection holds which subscription."""

from __future__ import annotations

from bert_serving.server.sink.connections import DOUBT_S, SubscriptionBook
from bert_serving.server.sink.limits import SinkLimits
from bert_serving.server.tcp import Connection

ONE, OTHER, FAR = Connection(7, '10.0.0.1', 50001), Connection(8, '10.0.0.1', 50002), Connection(9, '10.0.0.2', 50001)


def alive(_connection: Connection) -> bool:
    return True


def dead(_connection: Connection) -> bool:
    return False


def test_a_connection_cannot_end_the_subscription_of_another() -> None:
    book = SubscriptionBook()
    book.add(ONE, b'me')
    assert not book.remove(OTHER, b'me')
    assert book.holders_of(b'me') == (ONE,)
    assert book.remove(ONE, b'me')
    assert not book.remove(ONE, b'me')
    assert len(book) == 0


def test_of_clones_the_one_whose_connection_is_gone_has_left() -> None:
    book = SubscriptionBook()
    book.add(ONE, b'me')
    book.add(OTHER, b'me')
    assert book.ended(b'me', lambda connection: connection == ONE, 0.0)
    assert book.holders_of(b'me') == (ONE,)


def test_the_end_of_a_connection_that_held_nothing_ends_nothing() -> None:
    book = SubscriptionBook()
    assert not book.ended(b'nobody', alive, 0.0)
    book.add(ONE, b'me')
    assert not book.ended(b'me', alive, 0.0)
    assert book.settle(alive, DOUBT_S / 2) == []
    assert book.settle(alive, DOUBT_S) == []
    assert book.settle(dead, DOUBT_S) == [], 'by now it is another matter'
    assert book.holds(ONE, b'me')


def test_an_end_that_is_heard_of_before_the_connection_is_closed_counts_when_it_is() -> None:
    book = SubscriptionBook()
    book.add(ONE, b'me')
    assert not book.ended(b'me', alive, 0.0)
    assert book.settle(dead, 0.1) == [b'me']
    assert not book.holds(ONE, b'me')


def test_one_connection_and_one_address_have_room_for_so_many_subscriptions_and_leave_it_to_others() -> None:
    book = SubscriptionBook(SinkLimits(topics_of_connection=2, topics_of_address=3))
    for topic in (b'a', b'b'):
        assert book.refusal(ONE) is None
        book.add(ONE, topic)
    assert book.refusal(ONE) == 'a connection can have at most 2 subscriptions'
    book.add(OTHER, b'c')
    assert book.refusal(OTHER) == 'an address can have at most 3 subscriptions'
    assert book.refusal(FAR) is None
    assert sorted(book.topics_of(ONE)) == [b'a', b'b']
    book.remove(ONE, b'a')
    assert book.refusal(OTHER) is None
