"""The worker's decisions: what joins a batch, who goes first, and that every job gets its own rows back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bert_serving.server.protocol.ring import JobHeader, Lane, RequestRef
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.batcher import MAX_OVERTAKES, WINDOW_BATCHES, Batch, Batcher, ReadyJob
from bert_serving.server.worker.rows import Row

PAIRS = 10**6
LIMITS = BatchLimits(rows=8, tokens=100, pairs=PAIRS)


def a_row(length: int, first_id: int = 100, max_len: int = 25, masked: bool = False) -> Row:
    return Row([first_id, *range(1, length)], length, (0, length - 1) if masked else (), max_len)


def a_job(
    number: int, lengths: list[int], lane: Lane = Lane.URGENT, max_len: int = 25, identity: bytes = b'client'
) -> ReadyJob:
    """A job with a row of each length; no two of its rows, or of two jobs, are the same."""
    header = JobHeader(RequestRef(number, identity, b'1', 1, len(lengths)), 0, 0, 0, len(lengths), lane)
    rows = [a_row(length, 1000 * number + index, max_len) for index, length in enumerate(lengths)]
    return ReadyJob(header, rows, max_len)


def a_batcher(*jobs: ReadyJob, limits: BatchLimits = LIMITS) -> Batcher:
    batcher = Batcher(limits)
    for job in jobs:
        batcher.add(job)
    return batcher


def compute(batch: Batch) -> NDArray[np.float32]:
    """[B, 2]: the first id of a row and its length."""
    return np.array([[row.ids[0], len(row)] for row in batch.rows], np.float32)


def compute_tokens(batch: Batch) -> NDArray[np.float32]:
    """[B, T, 1]: the ids of a row, zero where it is padded."""
    output = np.zeros((len(batch.rows), batch.width, 1), np.float32)
    for index, row in enumerate(batch.rows):
        output[index, : len(row), 0] = row.ids
    return output


def take(batcher: Batcher) -> list[int]:
    """The numbers of the jobs whose rows are in the next batch, in its order."""
    batch = batcher.next_batch()
    assert batch is not None
    return [row.ids[0] // 1000 for row in batch.rows]


def test_an_empty_batcher_has_no_batch() -> None:
    batcher = a_batcher()
    assert batcher.next_batch() is None
    assert len(batcher) == 0


def test_rows_of_several_requests_join_up_to_the_limit_of_rows() -> None:
    batcher = a_batcher(*(a_job(number, [5, 5, 5]) for number in range(4)))
    assert len(batcher) == 12
    assert take(batcher) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert take(batcher) == [2, 3, 3, 3]
    assert batcher.next_batch() is None


def test_a_batch_is_cut_by_its_tokens_padding_included() -> None:
    batcher = a_batcher(a_job(1, [20, 20, 20]), limits=BatchLimits(8, 40, PAIRS))
    assert take(batcher) == [1, 1]
    assert take(batcher) == [1]


def test_a_row_that_is_longer_than_the_budget_is_computed_alone() -> None:
    assert take(a_batcher(a_job(1, [20]), limits=BatchLimits(8, 10, PAIRS))) == [1]


def test_a_batch_is_cut_by_its_pairs_of_tokens_padding_included() -> None:
    batcher = a_batcher(a_job(1, [20, 20, 20, 4, 4, 4]), limits=BatchLimits(8, 1000, pairs=2 * 20 * 20))
    batches = list(iter(batcher.next_batch, None))
    assert [[len(row) for row in batch.rows] for batch in batches] == [[20, 20], [20, 4], [4, 4]]


def test_rows_of_different_lengths_are_cut_where_that_saves_more_than_a_run_costs() -> None:
    batcher = a_batcher(a_job(1, [25, 4, 24, 5, 5]), limits=BatchLimits(8, 1000, PAIRS, run_cost=32))
    batches = list(iter(batcher.next_batch, None))
    assert [[len(row) for row in batch.rows] for batch in batches] == [[25, 24], [5, 5, 4]]


def test_the_batch_of_the_oldest_row_comes_first_when_rows_are_cut() -> None:
    batcher = a_batcher(a_job(1, [4, 25, 24, 5, 5]), limits=BatchLimits(8, 1000, PAIRS, run_cost=32))
    assert [[len(row) for row in batch.rows] for batch in iter(batcher.next_batch, None)] == [[5, 5, 4], [25, 24]]


def test_short_rows_next_to_a_long_one_are_not_padded_to_it() -> None:
    batcher = a_batcher(a_job(1, [3, 500, 3]), limits=LIMITS)
    assert [(batch.width, len(batch.rows)) for batch in iter(batcher.next_batch, None)] == [(3, 2), (500, 1)]


def test_short_rows_wait_only_for_the_long_row_on_the_device() -> None:
    """Sixteen texts of thousands of tokens are an urgent job, but a text of another client does not wait for all."""
    batcher = a_batcher(a_job(1, [500 + index for index in range(16)]))
    assert take(batcher) == [1]
    batcher.add(a_job(2, [5]))
    assert take(batcher) == [2]
    assert take(batcher) == [1]


def test_long_rows_of_an_urgent_job_are_computed_however_many_short_ones_come() -> None:
    batcher = a_batcher(a_job(0, [500]))
    order = []
    for number in range(1, 2 * MAX_OVERTAKES):
        batcher.add(a_job(number, [5] * 8))
        order.append(take(batcher)[0])
    assert order.index(0) == MAX_OVERTAKES


def test_a_job_of_short_and_long_rows_is_complete_when_both_are_computed() -> None:
    job = a_job(1, [5, 500, 6])
    batcher = a_batcher(job)
    answers = []
    while (batch := batcher.next_batch()) is not None:
        answers.append(list(batcher.finish(batch, compute(batch))))
    assert [len(jobs) for jobs in answers] == [0, 1]
    ((answered, output),) = answers[1]
    assert answered is job
    assert output[:, 1].tolist() == [5, 500, 6]


def test_a_job_that_fails_by_a_short_row_has_no_long_row_left() -> None:
    job = a_job(1, [5, 500])
    batcher = a_batcher(job, a_job(2, [500]))
    batch = batcher.next_batch()
    assert batch is not None
    assert list(batcher.fail(batch)) == [job]
    assert take(batcher) == [2]
    assert len(batcher) == 0


def test_rows_of_like_length_are_computed_together() -> None:
    batcher = a_batcher(a_job(1, [20, 3, 20, 3, 20, 3]), limits=BatchLimits(8, 60, PAIRS))
    batches = list(iter(batcher.next_batch, None))
    assert [(batch.width, [len(row) for row in batch.rows]) for batch in batches] == [
        (20, [20, 20, 20]),
        (3, [3, 3, 3]),
    ]
    assert batches[1].tokens == 9


def test_the_batch_with_the_oldest_row_is_next_whatever_is_added() -> None:
    batcher = a_batcher(a_job(0, [2]), limits=BatchLimits(8, 60, PAIRS))
    for number in range(1, 30):
        batcher.add(a_job(number, [20, 20, 20]))
    assert 0 in take(batcher)


def test_a_jobs_rows_are_only_sorted_among_those_of_its_window() -> None:
    window = WINDOW_BATCHES * LIMITS.rows
    batcher = a_batcher(a_job(1, [5] * window), a_job(2, [25] * 8))
    assert take(batcher) == [1] * 8


def test_an_urgent_job_goes_ahead_of_bulk_that_came_before() -> None:
    batcher = a_batcher(a_job(1, [5] * 8, lane=Lane.BULK), a_job(2, [5]))
    assert take(batcher) == [2]
    assert take(batcher) == [1] * 8


def test_bulk_is_overtaken_only_so_often() -> None:
    batcher = a_batcher(a_job(0, [5] * 8, lane=Lane.BULK))
    order = []
    for number in range(1, 2 * MAX_OVERTAKES):
        batcher.add(a_job(number, [5] * 8))
        order.append(take(batcher)[0])
    assert order.index(0) == MAX_OVERTAKES


def test_equal_rows_are_computed_once_and_answered_everywhere() -> None:
    row, other = a_row(5, 7), a_row(5, 8)
    header = JobHeader(RequestRef(1, b'client', b'1', 1, 3), 0, 0, 0, 3, Lane.URGENT)
    batcher = a_batcher(ReadyJob(header, [row, other, row], 25), ReadyJob(header, [row], 25))
    assert len(batcher) == 2
    batch = batcher.next_batch()
    assert batch is not None
    answers = [answer[:, 0].tolist() for _, answer in batcher.finish(batch, compute(batch))]
    assert answers == [[7, 8, 7], [7]] or answers == [[7], [7, 8, 7]]


def test_rows_that_differ_only_in_their_segments_or_mask_are_two() -> None:
    header = JobHeader(RequestRef(1, b'client', b'1', 1, 3), 0, 0, 0, 3, Lane.URGENT)
    rows = [Row([1, 2, 3], 3, (), 25), Row([1, 2, 3], 2, (), 25), Row([1, 2, 3], 3, (0, 2), 25)]
    assert len(a_batcher(ReadyJob(header, rows, 25))) == 3


def test_rows_whose_answer_depends_on_padding_are_computed_at_their_own_length() -> None:
    def masked(number: int, max_len: int) -> ReadyJob:
        header = JobHeader(RequestRef(number, b'client', b'1', 1, 1), 0, 0, 0, 1, Lane.URGENT)
        return ReadyJob(header, [a_row(2, 1000 * number, max_len, masked=True)], max_len)

    batcher = a_batcher(a_job(1, [20]), masked(2, 7), a_job(3, [20]), masked(4, 7), masked(5, 9))
    assert take(batcher) == [1, 3]
    batch = batcher.next_batch()
    assert batch is not None
    assert (batch.width, [row.ids[0] // 1000 for row in batch.rows]) == (7, [2, 4])
    assert take(batcher) == [5]


def test_a_token_level_answer_is_as_wide_as_the_longest_row_of_its_job() -> None:
    batcher = a_batcher(a_job(1, [4, 3]), a_job(2, [9]))
    batch = batcher.next_batch()
    assert batch is not None
    answers = {job.header.request.number: answer for job, answer in batcher.finish(batch, compute_tokens(batch))}
    assert answers[1].shape == (2, 4, 1)
    assert answers[1][1, :, 0].tolist() == [1001, 1, 2, 0]
    assert answers[2].shape == (1, 9, 1)


def test_when_a_row_fails_its_job_fails_once_and_the_others_of_the_batch_are_answered() -> None:
    batcher = a_batcher(a_job(1, [5, 5, 20]), a_job(2, [5, 20]), limits=BatchLimits(3, 60, PAIRS))
    bad, good = batcher.next_batch(), batcher.next_batch()
    assert bad is not None
    assert good is not None
    first, rest = Batch(bad.entries[:1], bad.width), Batch(bad.entries[1:], bad.width)
    assert [job.header.request.number for job in batcher.fail(first)] == [1]
    finished = [*batcher.finish(rest, compute(rest)), *batcher.finish(good, compute(good))]
    assert [job.header.request.number for job, _ in finished] == [2]


def test_what_a_failed_job_has_waiting_is_not_computed_but_its_equals_are() -> None:
    shared = a_row(5, 7)

    def a_job_with(number: int, *rows: Row) -> ReadyJob:
        header = JobHeader(RequestRef(number, b'client', b'1', 1, len(rows)), 0, 0, 0, len(rows), Lane.URGENT)
        return ReadyJob(header, rows, 25)

    batcher = a_batcher(
        a_job_with(1, a_row(20, 1), a_row(5, 2), shared), a_job_with(2, shared), limits=BatchLimits(1, 100, PAIRS)
    )
    batch = batcher.next_batch()
    assert batch is not None
    assert [job.header.request.number for job in batcher.fail(batch)] == [1]
    assert [job.header.request.number for job in batcher.fail(batch)] == []
    left = [batch.rows for batch in iter(batcher.next_batch, None)]
    assert left == [[shared]]


def test_the_halves_of_a_batch_have_its_rows_and_its_width() -> None:
    batch = a_batcher(a_job(1, [5, 6, 7])).next_batch()
    assert batch is not None
    first, second = batch.halves()
    assert first.rows + second.rows == batch.rows
    assert (len(first.rows), first.width, second.width) == (1, 7, 7)


@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from(Lane), st.lists(st.tuples(st.integers(1, 25), st.integers(0, 3)), min_size=1, max_size=8)
        ),
        max_size=30,
    ),
    takes=st.lists(st.integers(0, 3), min_size=30, max_size=30),
    limits=st.builds(BatchLimits, st.integers(1, 9), st.integers(1, 120)),
    token_level=st.booleans(),
)
def test_every_row_is_answered_once_with_its_own_answer_and_no_batch_is_too_large(
    jobs: list[tuple[Lane, list[tuple[int, int]]]], takes: list[int], limits: BatchLimits, token_level: bool
) -> None:
    batcher = Batcher(limits)
    answers: dict[int, NDArray[np.generic]] = {}
    made = []

    def work() -> bool:
        waiting = len(batcher)
        batch = batcher.next_batch()
        if batch is None:
            return False
        assert len(batcher) == waiting - len(batch.rows)
        assert len(batch.rows) == 1 or (
            len(batch.rows) <= limits.rows and len(batch.rows) * batch.width <= limits.tokens
        )
        assert batch.width == max(len(row) for row in batch.rows)
        for job, answer in batcher.finish(batch, compute_tokens(batch) if token_level else compute(batch)):
            assert job.header.request.number not in answers
            answers[job.header.request.number] = answer
        return True

    for number, ((lane, rows), turns) in enumerate(zip(jobs, takes, strict=False)):
        header = JobHeader(RequestRef(number, b'client', b'1', 1, len(rows)), 0, 0, 0, len(rows), lane)
        made.append(ReadyJob(header, [a_row(length, first_id) for length, first_id in rows], 25))
        batcher.add(made[-1])
        for _ in range(turns):
            work()
    while work():
        pass
    assert sorted(answers) == list(range(len(jobs)))
    for number, job in enumerate(made):
        for row, answer in zip(job.rows, answers[number], strict=True):
            if token_level:
                assert answer[: len(row), 0].tolist() == row.ids
                assert not answer[len(row) :].any()
            else:
                assert answer.tolist() == [row.ids[0], len(row)]


def test_a_dropped_request_is_forgotten_and_its_equal_rows_are_computed_for_others() -> None:
    shared = a_row(5, 7)

    def a_job_with(number: int, *rows: Row) -> ReadyJob:
        header = JobHeader(RequestRef(number, b'client', b'1', 1, len(rows)), 0, 0, 0, len(rows), Lane.URGENT)
        return ReadyJob(header, rows, 25)

    dropped, wanted = a_job_with(1, a_row(5, 6), shared), a_job_with(2, shared)
    batcher = a_batcher(dropped, wanted)
    assert batcher.drop(1) == [dropped]
    assert batcher.drop(1) == []
    batch = batcher.next_batch()
    assert batch is not None
    assert batch.rows == [shared]
    assert [job.header.request.number for job, _ in batcher.finish(batch, compute(batch))] == [2]


def test_a_request_that_is_dropped_while_some_of_its_rows_are_computed_is_not_answered_with_them() -> None:
    batcher = a_batcher(a_job(1, [5, 5]), limits=BatchLimits(1, 100, PAIRS))
    batch = batcher.next_batch()
    assert batch is not None
    assert [job.header.request.number for job in batcher.drop(1)] == [1]
    assert list(batcher.finish(batch, compute(batch))) == []
    assert list(batcher.fail(batch)) == []
    assert len(batcher) == 0


def test_a_request_all_of_whose_rows_are_being_computed_is_not_let_go_of_twice() -> None:
    batcher = a_batcher(a_job(1, [5]))
    batch = batcher.next_batch()
    assert batch is not None
    assert batcher.drop(1) == []
    assert [job.header.request.number for job, _ in batcher.finish(batch, compute(batch))] == [1]


def test_both_jobs_of_a_dropped_request_are_named() -> None:
    batcher = a_batcher(a_job(1, [5], lane=Lane.URGENT), a_job(1, [5, 6], lane=Lane.BULK), a_job(2, [5]))
    assert [len(job.rows) for job in batcher.drop(1)] == [1, 2]
    assert take(batcher) == [2]


def test_after_a_clearing_nothing_waits_and_no_half_of_a_job_is_answered() -> None:
    batcher = a_batcher(a_job(1, [5, 5]), a_job(2, [5, 5], lane=Lane.BULK), limits=BatchLimits(1, 100, PAIRS))
    batch = batcher.next_batch()
    assert batch is not None
    batcher.clear()
    assert len(batcher) == 0
    assert list(batcher.finish(batch, compute(batch))) == []
    batcher.add(a_job(3, [5]))
    assert take(batcher) == [3]


def test_a_job_on_which_a_worker_has_died_gets_batches_of_half_the_rows() -> None:
    job = a_job(1, [5, 6, 7, 8, 9, 10])
    reduced = ReadyJob(replace(job.header, reduced_batch=True), job.rows, job.max_len)
    batcher = a_batcher(reduced)
    answered = []
    sizes = []
    while (batch := batcher.next_batch()) is not None:
        sizes.append(len(batch.rows))
        answered += [job.header.request.number for job, _ in batcher.finish(batch, compute(batch))]
    assert sizes == [3, 2, 1]
    assert answered == [1]


def test_the_oldest_row_is_in_the_half_that_is_computed_first() -> None:
    job = a_job(1, [5, 9, 7])
    batcher = a_batcher(ReadyJob(replace(job.header, reduced_batch=True), job.rows, job.max_len))
    batch = batcher.next_batch()
    assert batch is not None
    assert [len(row) for row in batch.rows] == [5, 9]
    assert (batch.width, batch.tokens) == (9, 14)


def test_a_clients_row_behind_many_of_another_waits_for_two_batches_at_most() -> None:
    batcher = a_batcher(*(a_job(number, [5] * 4, identity=b'flooder') for number in range(8)))
    batcher.add(a_job(100, [5], identity=b'victim'))
    batches = [take(batcher) for _ in range(2)]
    assert 0 in batches[0]
    assert 100 in batches[0] + batches[1]


def test_the_oldest_row_is_computed_though_new_clients_come_all_the_time() -> None:
    batcher = a_batcher(a_job(0, [2], identity=b'old'), a_job(1, [2], identity=b'old'), limits=replace(LIMITS, rows=1))
    order = []
    for number in range(2, 12):
        batcher.add(a_job(number, [20], identity=b'%d' % number))
        order += take(batcher)
    assert {0, 1} <= set(order[:3])


def test_without_a_cache_a_computed_batch_is_remembered_by_nobody() -> None:
    batcher = a_batcher(a_job(1, [4]))
    batch = batcher.next_batch()
    assert batch is not None
    batcher.remember(batch, compute(batch))
    assert batcher.cache is None
