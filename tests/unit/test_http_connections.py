"""The rules about connections: slow ones, too many, and responses that nobody reads."""

from __future__ import annotations

import pytest

from bert_serving.server.http.connections import (
    BODY_BYTES_PER_S,
    BODY_S,
    EVICTED_SHARE,
    HEADERS_S,
    SMALL_BYTES,
    UNREAD_BYTES_PER_S,
    UNREAD_S,
    ConnectionState,
    Phase,
    WriteBudget,
    choose_evicted,
    choose_unread,
    is_unread,
)
from bert_serving.server.http.frontend import FILES_PER_CLIENT, SPARE_FILES, max_connections


@pytest.mark.parametrize(
    ('state', 'is_overdue'),
    [
        (ConnectionState(Phase.HEADERS, HEADERS_S), False),
        (ConnectionState(Phase.HEADERS, HEADERS_S + 1), True),
        (ConnectionState(Phase.BODY, BODY_S), False),
        (ConnectionState(Phase.BODY, BODY_S + 1), True),
        (ConnectionState(Phase.BODY, BODY_S + 9, received=10 * BODY_BYTES_PER_S), False),
        (ConnectionState(Phase.BODY, BODY_S + 11, received=10 * BODY_BYTES_PER_S), True),
        (ConnectionState(Phase.IDLE, 1000), False),
        (ConnectionState(Phase.BUSY, 1000), False),
    ],
)
def test_a_request_that_drips_in_is_overdue_and_a_large_one_that_flows_is_not(
    state: ConnectionState, is_overdue: bool
) -> None:
    assert state.is_overdue is is_overdue


def test_those_from_which_least_is_lost_make_room_and_a_request_that_is_served_never_does() -> None:
    busy, body = ConnectionState(Phase.BUSY, 100), ConnectionState(Phase.BODY, 50)
    idle, old_idle = ConnectionState(Phase.IDLE, 1), ConnectionState(Phase.IDLE, 2)
    headers = ConnectionState(Phase.HEADERS, 0.1)
    assert choose_evicted([]) == []
    assert choose_evicted([('busy', busy)]) == []
    assert choose_evicted([('busy', busy), ('body', body)]) == ['body']
    assert choose_evicted([('idle', idle), ('old idle', old_idle), ('body', body)]) == ['old idle']
    assert choose_evicted([('old idle', old_idle), ('headers', headers), ('body', body)]) == ['headers']


def test_of_many_connections_some_go_at_once_so_that_a_newcomer_costs_little() -> None:
    many = [(number, ConnectionState(Phase.HEADERS, number)) for number in range(10 * EVICTED_SHARE)]
    assert choose_evicted(many) == [number for number, _ in many[:-12:-1]]


def test_a_client_that_reads_slowly_is_told_from_one_that_does_not_read() -> None:
    assert not is_unread(UNREAD_S, 0)
    assert is_unread(UNREAD_S + 1, 0)
    assert not is_unread(10, 10 * UNREAD_BYTES_PER_S)


def test_the_largest_of_those_that_do_not_read_go_and_no_more_than_needed() -> None:
    unread = [('small', 10), ('large', 50), ('middle', 30)]
    assert choose_unread(unread, total=100, most=100) == ['large']
    assert choose_unread(unread, total=150, most=100) == ['large', 'middle', 'small']
    assert choose_unread(unread, total=50, most=100) == []


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_unwritten_responses_have_one_bound_and_a_larger_one_can_be_alone() -> None:
    clock, unwritten = Clock(), [0]  # in units of SMALL_BYTES
    budget = WriteBudget(lambda: SMALL_BYTES * unwritten[0], most=100 * SMALL_BYTES, clock=clock)
    assert budget.reserve(500 * SMALL_BYTES)
    assert budget.is_full
    assert not budget.reserve(SMALL_BYTES + 1)
    assert budget.reserve(SMALL_BYTES), 'it is always written'
    budget.release(501 * SMALL_BYTES)
    unwritten[0] = 60
    assert not budget.is_full
    assert not budget.reserve(41 * SMALL_BYTES)
    assert budget.reserve(40 * SMALL_BYTES)
    assert budget.is_full
    unwritten[0] = 0
    assert budget.is_full, 'the connections are not asked each time'
    clock.now += 1
    assert not budget.is_full


def test_the_end_of_a_small_response_does_not_ask_all_connections_again() -> None:
    clock, asked = Clock(), [0]

    def measure() -> int:
        asked[0] += 1
        return 0

    budget = WriteBudget(measure, most=100 * SMALL_BYTES, clock=clock)
    for _ in range(10):
        assert budget.reserve(SMALL_BYTES)
        assert not budget.is_full
        budget.release(SMALL_BYTES)
    assert asked == [1]
    assert budget.reserve(2 * SMALL_BYTES)
    budget.release(2 * SMALL_BYTES)
    assert not budget.is_full
    assert asked == [2]


def test_some_files_are_kept_from_connections_for_all_else_that_the_proxy_opens() -> None:
    assert max_connections(65536, clients=11) == 65536 - SPARE_FILES - 11 * FILES_PER_CLIENT
    assert max_connections(256, clients=11) == 64
    assert max_connections(2, clients=11) == 1
