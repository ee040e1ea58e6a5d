"""Which connections are closed because their messages do not end."""

from __future__ import annotations

from bert_serving.server.guard import Watch
from bert_serving.server.tcp import Connection

MB = 1 << 20
ONE, OTHER = Connection(7, '10.0.0.1', 50001), Connection(8, '10.0.0.2', 50002)


def test_a_connection_whose_message_is_longer_than_any_is_closed() -> None:
    watch = Watch(largest=10 * MB)
    assert watch.look({ONE: 9 * MB, OTHER: 1000}, {}, 0) == []
    assert watch.look({ONE: 11 * MB, OTHER: 2000}, {}, 0) == [ONE]


def test_a_connection_that_sends_much_in_messages_that_end_is_not() -> None:
    watch = Watch(largest=10 * MB)
    for number in range(1, 20):
        assert watch.look({ONE: 9 * MB * number}, {7: number}, 0) == []


def test_tiny_frames_that_take_much_memory_end_the_connection_with_the_most_unread_bytes() -> None:
    watch = Watch(largest=100 * MB, allowance=50 * MB)
    assert watch.look({ONE: 0, OTHER: 0}, {}, 40 * MB) == []
    assert watch.look({ONE: 2 * MB, OTHER: 5 * MB}, {}, 80 * MB) == []
    assert watch.look({ONE: 3 * MB, OTHER: 8 * MB}, {}, 120 * MB) == [OTHER]
    assert watch.look({ONE: 3 * MB}, {}, 120 * MB) == [ONE], 'if that was not enough'


def test_memory_that_unfinished_messages_do_not_take_closes_no_connection() -> None:
    watch = Watch(largest=100 * MB, allowance=50 * MB)
    watch.look({ONE: 0}, {}, 40 * MB)
    assert watch.look({ONE: 1000}, {}, 400 * MB) == [], 'replies, or what malloc keeps'
    assert watch.look({ONE: 2 * MB}, {}, 410 * MB) == []


def test_heartbeats_of_weeks_are_no_message() -> None:
    watch = Watch(largest=1 * MB)
    for number in range(100_000):
        assert watch.look({ONE: 40 * number}, {}, 0) == []


def test_a_connection_that_is_gone_is_forgotten() -> None:
    watch = Watch(largest=10 * MB)
    watch.look({ONE: 9 * MB}, {7: 1}, 0)
    watch.look({}, {7: 1}, 0)
    assert watch.look({Connection(7, '10.0.0.1', 50009): 9 * MB}, {7: 1}, 0) == []
