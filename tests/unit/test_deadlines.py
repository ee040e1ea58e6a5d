"""Deadlines expire in their order, once, and are forgotten with their requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.ventilator.deadlines import Deadlines
from bert_serving.server.ventilator.invariants import InvariantError


def deadlines_at(*expires_at: float) -> Deadlines:
    """The deadlines of requests 1, 2, ..."""
    deadlines = Deadlines()
    for number, time in enumerate(expires_at, 1):
        deadlines.push(number, time)
    return deadlines


def test_a_request_expires_at_its_deadline_and_not_before() -> None:
    deadlines = deadlines_at(2.0)
    assert deadlines.expired(1.999) == []
    assert deadlines.expired(2.0) == [1]
    assert deadlines.expired(3.0) == []
    assert not deadlines


def test_requests_expire_in_the_order_of_their_deadlines() -> None:
    deadlines = deadlines_at(3.0, 1.0, 2.0, 9.0)
    assert deadlines.expired(5.0) == [2, 3, 1]
    assert len(deadlines) == 1


def test_a_finished_request_does_not_expire() -> None:
    deadlines = deadlines_at(1.0, 2.0)
    deadlines.discard(1)
    deadlines.discard(1)
    deadlines.discard(7)
    assert deadlines.expired(5.0) == [2]


def test_finished_requests_leave_no_more_in_the_heap_than_the_others() -> None:
    deadlines = deadlines_at(1.0, *([100.0] * 100))
    for number in range(2, 102):
        deadlines.discard(number)
        deadlines.check()
    assert len(deadlines._heap) <= 2


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(['push', 'discard', 'expire'])), max_size=60))
def test_every_deadline_expires_once_at_its_time_unless_it_is_discarded(steps: list[tuple[int, str]]) -> None:
    deadlines, expected, now = Deadlines(), dict[int, int](), 0
    for number, (value, step) in enumerate(steps):
        if step == 'push':
            expected[number] = now + value
            deadlines.push(number, now + value)
        elif step == 'discard':
            expected.pop(value, None)
            deadlines.discard(value)
        else:
            now += value
            due = [other for other, at in expected.items() if at <= now]
            assert sorted(deadlines.expired(now)) == due
            for other in due:
                del expected[other]
        assert len(deadlines) == len(expected)
        deadlines.check()


@pytest.mark.parametrize(
    ('heap', 'says'),
    [
        ([], 'never looked at'),
        ([(1.0, 1), (2.0, 2), (3.0, 3)], 'too many finished'),
        ([(2.0, 2), (1.0, 1)], 'no heap'),
    ],
)
def test_a_heap_that_contradicts_itself_is_noticed(heap: list[tuple[float, int]], says: str) -> None:
    deadlines = deadlines_at(1.0)
    deadlines._heap = heap
    with pytest.raises(InvariantError, match=says):
        deadlines.check()
