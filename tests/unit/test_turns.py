"""Waiting jobs: the requests of a lane take turns, job by job."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.protocol.ring import Job, JobHeader, Lane, RequestRef
from bert_serving.server.ventilator.invariants import InvariantError
from bert_serving.server.ventilator.turns import TurnQueue

BULK, URGENT = Lane.BULK, Lane.URGENT


def a_job(number: int, part: int = 0, lane: Lane = BULK, identity: bytes = b'client', rows: int = 1) -> Job:
    ref = RequestRef(number, identity, b'1', 9, 9)
    return Job(JobHeader(ref, part, attempt=0, first_row=part, rows=rows, lane=lane), b'["text"]')


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
        ({1: [a_job(1, identity=b'another')]}, 'a job of another'),
        ({}, 'client without a request'),
    ],
)
def test_a_queue_that_contradicts_itself_is_noticed(jobs: dict[int, list[Job]], says: str) -> None:
    turns = a_queue(a_job(1))
    lane = turns._lanes[BULK]
    client = lane.clients[b'client']
    client.turns.clear()
    client.turns.update((number, deque(waiting)) for number, waiting in jobs.items())
    lane._client_of = dict.fromkeys(jobs, client)
    lane.rows = sum(map(len, jobs.values()))
    with pytest.raises(InvariantError, match=says):
        turns.check()


# ---- the shares of the clients


def test_a_client_of_a_thousand_requests_does_not_hold_up_another_of_one() -> None:
    turns = a_queue(*(a_job(number, identity=b'flooder') for number in range(1000)), a_job(1000, identity=b'victim'))
    assert [number for number, _ in take_all(turns)].index(1000) == 1


def test_a_client_that_has_had_its_share_waits_though_it_had_no_jobs_for_a_moment() -> None:
    turns = a_queue(a_job(1, identity=b'a', rows=9), a_job(2, identity=b'b', rows=1), a_job(3, identity=b'b', rows=1))
    assert turns.take(BULK).header.request.number == 1
    turns.add(a_job(4, identity=b'a', rows=9))
    assert [number for number, _ in take_all(turns)] == [2, 3, 4]


def test_a_client_that_was_away_gets_no_more_than_its_share_for_that() -> None:
    turns = a_queue(*(a_job(number, identity=b'a', rows=5) for number in range(10)))
    for _ in range(5):
        turns.take(BULK)
    for number in range(10, 20):
        turns.add(a_job(number, identity=b'b', rows=5))
    order = [number >= 10 for number, _ in take_all(turns)]
    assert order[:6].count(True) == 3


def test_a_client_does_not_starve_while_ever_more_new_ones_come() -> None:
    turns = a_queue(a_job(1, 0, identity=b'patient', rows=16), a_job(1, 1, identity=b'patient', rows=16))
    turns.take(BULK)
    turns.add(a_job(0, identity=b'first'))
    taken = []
    for number in range(2, 200):
        turns.add(a_job(number, identity=b'%d' % number))
        taken.append(turns.take(BULK).header.request.number)
    assert 1 in taken[:66]


@pytest.mark.parametrize('staying', [[], [a_job(5000, identity=b'staying', rows=9)]])
def test_many_clients_that_come_and_go_leave_nothing_behind(staying: list[Job]) -> None:
    turns = a_queue(*staying)
    for number in range(1000):
        turns.add(a_job(number, identity=b'%d' % number))
        turns.drop_request(number)
        turns.add(a_job(number, identity=b'%d' % number, rows=1000))
        turns.take(BULK)
    turns.check()
    lane = turns._lanes[BULK]
    assert len(lane.clients) == turns.requests == len(staying)
    assert len(lane._heap) <= 101
    assert len(lane._ended_at) <= 101


WEIGHTS = {b'a': 1.0, b'b': 1.0, b'c': 3.0}


@given(
    st.lists(st.tuples(st.sampled_from(sorted(WEIGHTS)), st.integers(1, 16)), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=60),
)
def test_no_client_with_jobs_waiting_gets_less_than_its_share_over_any_window(
    jobs: list[tuple[bytes, int]], pauses: list[int]
) -> None:
    """Jobs come and are taken in any order; then, over any window, shares differ by two of the largest jobs each."""
    turns = TurnQueue(lambda identity: WEIGHTS[identity])
    waiting: Counter[bytes] = Counter()
    history: list[tuple[dict[bytes, bool], bytes, int]] = []
    coming = [a_job(number, identity=identity, rows=rows) for number, (identity, rows) in enumerate(jobs)]
    takes = iter([*pauses, *[len(coming)] * (len(coming) + 1)])
    while coming or turns.next_job(BULK):
        for job in coming[: max(1, len(coming) // 2)]:
            turns.add(job)
            waiting[job.header.request.identity] += 1
        del coming[: max(1, len(coming) // 2)]
        for _ in range(next(takes, 60)):
            if turns.next_job(BULK) is None:
                break
            backlog = {identity: waiting[identity] > 0 for identity in WEIGHTS}
            header = turns.take(BULK).header
            turns.check()
            waiting[header.request.identity] -= 1
            history.append((backlog, header.request.identity, header.rows))
    for first in range(len(history)):
        served: Counter[bytes] = Counter()
        always = dict(history[first][0])
        for backlog, identity, rows in history[first:]:
            always = {who: always[who] and backlog[who] for who in always}
            served[identity] += rows
            for one in (who for who in always if always[who]):
                for other in (who for who in always if always[who] and who != one):
                    lag = served[other] / WEIGHTS[other] - served[one] / WEIGHTS[one]
                    assert lag <= 2 * (16 / WEIGHTS[one] + 16 / WEIGHTS[other]), 'it got less than its share'
    assert not any(waiting.values()), 'somebody starved'


def test_clients_that_leave_without_having_been_served_leave_nothing_behind() -> None:
    turns = a_queue(*(a_job(number, identity=b'%d' % number) for number in range(300)))
    for number in range(295):
        turns.drop_request(number)
    turns.check()
    assert len(turns._lanes[BULK]._heap) < 300
    assert take_all(turns) == [(number, 0) for number in range(295, 300)]


def test_what_many_clients_have_had_is_remembered_while_others_wait_and_forgotten_then() -> None:
    turns = a_queue(*(a_job(number, identity=b'%d' % number) for number in range(300)))
    assert [turns.take(BULK).header.request.number for _ in range(120)] == list(range(120))
    turns.add(a_job(1000, identity=b'0'))
    turns.add(a_job(1001, identity=b'new'))
    order = [number for number, _ in take_all(turns)]
    assert order[-2:] == [1001, 1000], 'a client that has had a turn comes after one that has had none'
    assert not turns._lanes[BULK]._ended_at
