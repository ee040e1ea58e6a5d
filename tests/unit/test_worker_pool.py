"""The credit of each worker, and the one that is kept free for quarantined jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bert_serving.server.protocol.ring import Collected, Job, JobHeader, Lane, RequestRef
from bert_serving.server.ventilator.invariants import InvariantError
from bert_serving.server.ventilator.workers import WorkerPool
from support.scheduling import LIMITS


def a_job(number: int = 1, part: int = 0, rows: int = 8, lane: Lane = Lane.BULK) -> Job:
    ref = RequestRef(number, b'client', b'1', 9, 99)
    return Job(JobHeader(ref, part, attempt=0, first_row=0, rows=rows, lane=lane), b'["text"]')


def a_pool(workers: int = 2) -> WorkerPool:
    """Workers with credit for two batches of 8 rows in each lane."""
    pool = WorkerPool(LIMITS.lane_rows)
    for name in range(workers):
        pool.add(name)
    return pool


def test_every_lane_has_credit_for_its_largest_job_even_with_a_prefetch_of_one() -> None:
    assert replace(LIMITS, prefetch_size=1).lane_rows == {Lane.URGENT: 8, Lane.BULK: 8}
    assert replace(LIMITS, prefetch_size=10).lane_rows == {Lane.URGENT: 40, Lane.BULK: 40}


def test_the_worker_with_the_fewest_rows_is_chosen_and_among_equals_the_first() -> None:
    pool = a_pool(workers=3)
    assert pool.choose(Lane.BULK, 8) == 0
    pool.take(0, a_job(rows=2, lane=Lane.URGENT))
    pool.take(1, a_job(rows=1))
    assert pool.choose(Lane.BULK, 8) == 2


def test_a_worker_without_credit_in_the_lane_is_not_chosen() -> None:
    pool = a_pool(workers=1)
    for part in range(2):
        pool.take(0, a_job(part=part))
    assert pool.choose(Lane.BULK, 1) is None
    assert pool.choose(Lane.URGENT, 2) == 0, 'the other lane has its own'
    pool.give_credit(Collected(0, 1, 0, 0))
    assert pool.choose(Lane.BULK, 8) == 0
    assert pool.choose(Lane.BULK, 9) is None


def test_credit_is_given_once_for_a_job_and_never_for_one_that_is_not_held() -> None:
    pool = a_pool(workers=1)
    pool.take(0, a_job())
    for collected in (Collected(7, 1, 0, 0), Collected(0, 1, 0, 1), Collected(0, 1, 0, 0), Collected(0, 1, 0, 0)):
        pool.give_credit(collected)
        pool.check()
    assert pool[0].total_rows == 0


def test_neither_a_dying_nor_a_reserved_worker_is_chosen() -> None:
    pool = a_pool()
    pool.mark_dying(0)
    pool.mark_dying(7)
    assert pool.choose(Lane.URGENT, 1) == 1
    assert pool.reserve() == 1
    assert pool.choose(Lane.URGENT, 1) is None


def test_the_living_worker_with_the_fewest_rows_is_reserved_and_stays_it() -> None:
    pool = a_pool(workers=3)
    pool.mark_dying(0)
    pool.take(1, a_job())
    assert pool.reserve() == 2
    pool.take(2, a_job(rows=9))
    assert pool.reserve() == 2
    pool.mark_dying(2)
    assert pool.reserve() == 2, 'what it has sent is still on its way'
    pool.remove(2)
    assert pool.reserve() == 1


def test_where_no_worker_lives_none_is_reserved() -> None:
    pool = a_pool(workers=1)
    pool.mark_dying(0)
    assert pool.reserve() is None


def test_a_removed_worker_gives_back_the_record_of_what_it_held() -> None:
    pool = a_pool()
    job = a_job()
    pool.take(0, job)
    removed = pool.remove(0)
    assert removed is not None
    assert list(removed.held.values()) == [job]
    assert pool.remove(0) is None
    assert list(pool.holders_of(1)) == []


def test_the_holders_and_the_parts_of_a_request_are_told() -> None:
    pool = a_pool(workers=3)
    for name, part in ((0, 4), (2, 5), (2, 6)):
        pool.take(name, a_job(1, part, rows=1))
    pool.take(1, a_job(2))
    assert list(pool.holders_of(1)) == [0, 2]
    assert pool[2].parts_of(1) == [5, 6]


def test_a_worker_that_has_forgotten_all_has_its_whole_credit() -> None:
    pool = a_pool(workers=1)
    pool.take(0, a_job())
    pool[0].is_running_alone = True
    pool[0].forget_all()
    pool.check()
    assert pool[0].total_rows == 0
    assert not pool[0].is_running_alone


def test_a_pool_that_contradicts_itself_is_noticed() -> None:
    pool = a_pool()
    pool[0].rows[Lane.BULK] = 1
    with pytest.raises(InvariantError, match='sum of the jobs'):
        pool.check()
    pool = a_pool()
    pool.take(0, a_job(rows=17))
    with pytest.raises(InvariantError, match='more rows than its credit'):
        pool.check()
    pool = a_pool()
    pool[0].is_running_alone = True
    with pytest.raises(InvariantError, match='not alone'):
        pool.check()
    pool = a_pool()
    pool.reserved = 7
    with pytest.raises(InvariantError, match='lost worker is reserved'):
        pool.check()
