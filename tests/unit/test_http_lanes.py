"""Small HTTP requests do not wait for large ones."""

from __future__ import annotations

import pytest

from bert_serving.server.http.lanes import LargeLane


@pytest.mark.parametrize(('threads', 'most'), [(1, 1), (2, 1), (3, 2), (4, 3), (10, 8), (64, 48)])
def test_some_threads_never_serve_a_large_request(threads: int, most: int) -> None:
    lane: LargeLane[int] = LargeLane(threads)
    assert lane.most == most
    assert [lane.enter(number) for number in range(most + 2)] == [*range(most), None, None]
    assert lane.waiting == 2


def test_large_requests_are_served_in_their_order() -> None:
    lane: LargeLane[str] = LargeLane(2)
    assert lane.enter('a') == 'a'
    assert lane.enter('b') is None
    assert lane.enter('c') is None
    assert [lane.leave(), lane.leave(), lane.leave()] == ['b', 'c', None]
    assert lane.enter('d') == 'd'


def test_those_that_wait_at_the_end_are_given_back() -> None:
    lane: LargeLane[str] = LargeLane(1)
    lane.enter('a')
    lane.enter('b')
    assert lane.clear() == ['b']
    assert lane.waiting == 0
    assert lane.leave() is None
