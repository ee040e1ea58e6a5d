"""Wrong keys over HTTP: when an address is blocked, for how long, and what goes on working."""

from __future__ import annotations

import pytest

from bert_serving.server.http import wrong_keys
from bert_serving.server.http.wrong_keys import MOST, WINDOW_S, WrongKeys, network_of
from support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wrong(clock: Clock) -> WrongKeys:
    return WrongKeys(clock)


@pytest.mark.parametrize(
    ('address', 'network'),
    [
        ('192.0.2.7', '192.0.2.7'),
        ('2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'),
        ('2001:db8:1:2::9', '2001:db8:1:2::/64'),
        ('fe80::1%eth0', 'fe80::/64'),
        ('::ffff:192.0.2.7', '192.0.2.7'),
        ('a name', 'a name'),
    ],
)
def test_an_address_counts_for_itself_or_for_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_ten_wrong_keys_block_until_the_minute_is_over(wrong: WrongKeys, clock: Clock) -> None:
    for number in range(1, MOST + 1):
        assert wrong.blocked_s('a') == 0
        assert wrong.note_wrong('a') is (number == MOST)
        clock.now += 1
    assert wrong.blocked_s('a') == WINDOW_S - MOST
    assert wrong.blocked_s('b') == 0
    clock.now += WINDOW_S - MOST
    assert wrong.blocked_s('a') == 0
    assert not wrong.note_wrong('a'), 'a new minute begins'
    assert wrong.blocked_s('a') == 0


def test_wrong_keys_that_are_spread_out_block_nobody(wrong: WrongKeys, clock: Clock) -> None:
    for _ in range(3 * MOST):
        wrong.note_wrong('a')
        clock.now += WINDOW_S / (MOST - 1)
        assert wrong.blocked_s('a') == 0


def test_a_key_is_known_where_it_was_used(wrong: WrongKeys) -> None:
    wrong.note_right('a', 'key')
    assert wrong.is_known('a', 'key')
    assert not wrong.is_known('b', 'key')
    assert not wrong.is_known('a', 'other')


def test_what_is_remembered_has_a_bound(wrong: WrongKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, 'MAX_NETWORKS', 2)
    monkeypatch.setattr(wrong_keys, 'MAX_KNOWN', 2)
    for _ in range(MOST):
        wrong.note_wrong('a')
    for network in 'bc':
        wrong.note_wrong(network)
    assert wrong.blocked_s('a') == 0, 'forgotten'
    for key in ('1', '2', '1', '3'):
        wrong.note_right('a', key)
    assert [wrong.is_known('a', key) for key in '123'] == [True, False, True], 'the one used longest ago is forgotten'
