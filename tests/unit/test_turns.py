"""Waiting jobs: the requests of a lane take turns, job by job."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.protocol.ring import Job, JobHeader, Lane, RequestRef
from bert_serving.server.ventilator.invariants import InvariantError
from bert_serving.server.ventilator.turns import TurnQueue

BULK, URGENT = Lane.BULK, Lane.URGENT


def a_job(number: int, part: int = 0, lane: Lane = BULK) -> Job:
    ref = RequestRef(number, b'client', b'1', 9, 9)
    return Job(JobHeader(ref, part, attempt=0, first_row=part, rows=1, lane=lane), b'["text"]')


def a_queue(*jobs: Job) -> TurnQueue:
    turns = TurnQueue()
    for job in jobs:
        turns.add(job)
    turns.check()
    return turns


def take_all(turns: TurnQueue, lane: Lane = BULK) -> list[tuple[int, int]]:
    """(number, part) of every job of the lane, in order."""
    taken = []
    while (job := turns.next_job(lane)) is not None:
        assert turns.take(lane) is job
        turns.check()
        taken.append((job.header.request.number, job.header.part))
    return taken


def test_requests_take_turns_job_by_job_and_the_jobs_of_each_keep_their_order() -> None:
    turns = a_queue(*(a_job(1, part) for part in range(3)), *(a_job(2, part) for part in range(2)))
    assert take_all(turns) == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2)]


def test_a_request_that_comes_later_gets_the_last_turn() -> None:
    turns = a_queue(a_job(1, 0), a_job(1, 1), a_job(2))
    turns.take(BULK)
    turns.add(a_job(3))
    assert take_all(turns) == [(2, 0), (1, 1), (3, 0)]


def test_the_lanes_know_nothing_of_each_other() -> None:
    turns = a_queue(a_job(1, 0), a_job(1, 1, URGENT))
    assert take_all(turns, URGENT) == [(1, 1)]
    assert take_all(turns) == [(1, 0)]


def test_of_an_empty_lane_no_job_is_next_and_none_can_be_taken() -> None:
    turns = a_queue(a_job(1, lane=URGENT))
    assert turns.next_job(BULK) is None
    with pytest.raises(StopIteration):
        turns.take(BULK)


def test_a_job_is_withdrawn_by_its_part_and_with_the_last_the_turn() -> None:
    turns = a_queue(a_job(1, 0), a_job(1, 1), a_job(2, 0, URGENT))
    turns.withdraw(1, 0)
    assert turns.parts_of(1) == [1]
    turns.withdraw(2, 0)
    assert turns.next_job(URGENT) is None
    turns.withdraw(1, 7)
    turns.withdraw(9, 0)
    turns.check()
    assert take_all(turns) == [(1, 1)]


def test_a_dropped_request_has_no_jobs_in_any_lane() -> None:
    turns = a_queue(a_job(1, 0), a_job(1, 1, URGENT), a_job(2))
    turns.drop_request(1)
    turns.drop_request(9)
    assert [job.header.request.number for job in turns] == [2]


def test_a_cleared_queue_is_empty() -> None:
    turns = a_queue(a_job(1), a_job(2, lane=URGENT))
    turns.clear()
    assert list(turns) == []


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(Lane)), max_size=12))
def test_between_two_turns_of_a_request_every_other_that_waits_has_one(jobs: list[tuple[int, Lane]]) -> None:
    turns = a_queue(*(a_job(number, part, lane) for part, (number, lane) in enumerate(jobs)))
    for lane in Lane:
        waiting = Counter(number for number, where in jobs if where is lane)
        order = [number for number, _part in take_all(turns, lane)]
        assert Counter(order) == waiting
        for round_ in range(1, max(waiting.values(), default=0) + 1):
            having = [number for number in waiting if waiting[number] >= round_]
            assert sorted(order[: len(having)]) == sorted(having)
            order = order[len(having) :]


@pytest.mark.parametrize(
    ('jobs', 'says'),
    [
        ({1: []}, 'without a waiting job'),
        ({2: [a_job(1)]}, 'wrong turn'),
        ({1: [a_job(1, lane=URGENT)]}, 'wrong lane'),
        ({1: [a_job(1), a_job(1)]}, 'waits twice'),
    ],
)
def test_a_queue_that_contradicts_itself_is_noticed(jobs: dict[int, list[Job]], says: str) -> None:
    turns = TurnQueue()
    turns._lanes[BULK].update(jobs)  # type: ignore[arg-type]
    with pytest.raises(InvariantError, match=says):
        turns.check()
