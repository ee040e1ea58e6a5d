"""Which connections are closed because their messages do not end."""

from __future__ import annotations

import pytest

from bert_serving.server.guard import MAX_CHAIN, PEEKED_BYTES, Watch, has_chain
from bert_serving.server.tcp import Connection
from support.raw_peer import frame

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


@pytest.mark.parametrize('body', [b'', b'x', b'\0', b'\1', b'x' * 100])
def test_more_frames_of_one_message_than_a_request_has_are_seen_wherever_the_bytes_begin(body: bytes) -> None:
    chain = frame(body, more=True) * (2 * MAX_CHAIN + 4)
    for start in range(len(body) + 2):
        assert has_chain(chain[start : start + PEEKED_BYTES]), start


def test_a_chain_that_follows_requests_is_seen() -> None:
    request = b''.join(
        frame(part, more) for part, more in ((b'me', True), (b'["a"]', True), (b'1', True), (b'1', False))
    )
    assert has_chain(3 * request + frame(b'', more=True) * (MAX_CHAIN + 1))


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'\1',
        b'["a request", "of texts"]' * 200,
        b''.join(frame(part, more) for part, more in ((b'me', True), (b'["a"]', True), (b'1', True), (b'1', False)))
        * 200,
        (b'\1\2me\3' + (300).to_bytes(8, 'big') + b'[%s]' % (b' ' * 298) + b'\1\0011\0\0011\4\7\4PING\0\1') * 50,
        frame(b'x', more=True) * (MAX_CHAIN - 1),
    ],
)
def test_requests_are_not_taken_for_a_message_of_too_many_frames(data: bytes) -> None:
    assert not any(has_chain(data[start : start + PEEKED_BYTES]) for start in range(30))


def test_a_connection_in_the_middle_of_a_chain_of_frames_is_closed_before_it_is_large() -> None:
    watch = Watch(largest=100 * MB)
    chain = {ONE: frame(b'', more=True) * 2000, OTHER: b'["a large text'}
    watch.look({ONE: 0, OTHER: 0}, {}, 0, chain.__getitem__)
    assert watch.look({ONE: 20_000, OTHER: 2 * MB}, {}, 0, chain.__getitem__) == [ONE]
    assert watch.look({ONE: 20_100}, {7: 1}, 0, chain.__getitem__) == [], 'a message of it was read'
