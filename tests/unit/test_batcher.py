"""The worker's decisions: what joins a run, who goes first, and that every job gets its own rows back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bert_serving.server.protocol.ring import JobHeader, Lane, RequestRef
from bert_serving.server.worker.batcher import MAX_OVERTAKES, WINDOW_RUNS, Batcher, Limits, ReadyJob, Run
from bert_serving.server.worker.rows import Row

LIMITS = Limits(rows=8, tokens=100)


def a_row(length: int, first_id: int = 100, max_len: int = 25, masked: bool = False) -> Row:
    return Row([first_id, *range(1, length)], length, masked, max_len)


def a_job(number: int, lengths: list[int], lane: Lane = Lane.URGENT, max_len: int = 25) -> ReadyJob:
    """A job with a row of each length; no two of its rows, or of two jobs, are the same."""
    header = JobHeader(RequestRef(number, b'client', b'1', 1, len(lengths)), 0, 0, 0, len(lengths), lane)
    rows = [a_row(length, 1000 * number + index, max_len) for index, length in enumerate(lengths)]
    return ReadyJob(header, rows, max_len)


def a_batcher(*jobs: ReadyJob, limits: Limits = LIMITS) -> Batcher:
    batcher = Batcher(limits)
    for job in jobs:
        batcher.add(job)
    return batcher


def compute(run: Run) -> NDArray[np.float32]:
    """[B, 2]: the first id of a row and its length."""
    return np.array([[row.ids[0], len(row)] for row in run.rows], np.float32)


def compute_tokens(run: Run) -> NDArray[np.float32]:
    """[B, T, 1]: the ids of a row, zero where it is padded."""
    output = np.zeros((len(run.rows), run.width, 1), np.float32)
    for index, row in enumerate(run.rows):
        output[index, : len(row), 0] = row.ids
    return output


def take(batcher: Batcher) -> list[int]:
    """The numbers of the jobs whose rows are in the next run, in its order."""
    run = batcher.next_run()
    assert run is not None
    return [row.ids[0] // 1000 for row in run.rows]


def test_an_empty_batcher_has_no_run() -> None:
    batcher = a_batcher()
    assert batcher.next_run() is None
    assert len(batcher) == 0


def test_rows_of_several_requests_join_up_to_the_limit_of_rows() -> None:
    batcher = a_batcher(*(a_job(number, [5, 5, 5]) for number in range(4)))
    assert len(batcher) == 12
    assert take(batcher) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert take(batcher) == [2, 3, 3, 3]
    assert batcher.next_run() is None


def test_a_run_is_cut_by_its_tokens_padding_included() -> None:
    batcher = a_batcher(a_job(1, [20, 20, 20]), limits=Limits(8, 40))
    assert take(batcher) == [1, 1]
    assert take(batcher) == [1]


def test_a_row_that_is_longer_than_the_budget_runs_alone() -> None:
    assert take(a_batcher(a_job(1, [20]), limits=Limits(8, 10))) == [1]


def test_rows_of_like_length_are_computed_together() -> None:
    batcher = a_batcher(a_job(1, [20, 3, 20, 3, 20, 3]), limits=Limits(8, 60))
    runs = list(iter(batcher.next_run, None))
    assert [(run.width, [len(row) for row in run.rows]) for run in runs] == [(20, [20, 20, 20]), (3, [3, 3, 3])]
    assert runs[1].tokens == 9


def test_the_run_with_the_oldest_row_is_next_whatever_is_added() -> None:
    batcher = a_batcher(a_job(0, [2]), limits=Limits(8, 60))
    for number in range(1, 30):
        batcher.add(a_job(number, [20, 20, 20]))
    assert 0 in take(batcher)


def test_a_jobs_rows_are_only_sorted_among_those_of_its_window() -> None:
    window = WINDOW_RUNS * LIMITS.rows
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
    run = batcher.next_run()
    assert run is not None
    answers = [answer[:, 0].tolist() for _, answer in batcher.finish(run, compute(run))]
    assert answers == [[7, 8, 7], [7]] or answers == [[7], [7, 8, 7]]


def test_rows_that_differ_only_in_their_segments_or_mask_are_two() -> None:
    header = JobHeader(RequestRef(1, b'client', b'1', 1, 3), 0, 0, 0, 3, Lane.URGENT)
    rows = [Row([1, 2, 3], 3, False, 25), Row([1, 2, 3], 2, False, 25), Row([1, 2, 3], 3, True, 25)]
    assert len(a_batcher(ReadyJob(header, rows, 25))) == 3


def test_rows_whose_answer_depends_on_padding_run_at_their_own_length() -> None:
    def masked(number: int, max_len: int) -> ReadyJob:
        header = JobHeader(RequestRef(number, b'client', b'1', 1, 1), 0, 0, 0, 1, Lane.URGENT)
        return ReadyJob(header, [a_row(2, 1000 * number, max_len, masked=True)], max_len)

    batcher = a_batcher(a_job(1, [20]), masked(2, 7), a_job(3, [20]), masked(4, 7), masked(5, 9))
    assert take(batcher) == [1, 3]
    run = batcher.next_run()
    assert run is not None
    assert (run.width, [row.ids[0] // 1000 for row in run.rows]) == (7, [2, 4])
    assert take(batcher) == [5]


def test_a_token_level_answer_is_as_wide_as_the_longest_row_of_its_job() -> None:
    batcher = a_batcher(a_job(1, [4, 3]), a_job(2, [9]))
    run = batcher.next_run()
    assert run is not None
    answers = {job.header.request.number: answer for job, answer in batcher.finish(run, compute_tokens(run))}
    assert answers[1].shape == (2, 4, 1)
    assert answers[1][1, :, 0].tolist() == [1001, 1, 2, 0]
    assert answers[2].shape == (1, 9, 1)


def test_when_a_row_fails_its_job_fails_once_and_the_others_of_the_run_are_answered() -> None:
    batcher = a_batcher(a_job(1, [5, 5, 20]), a_job(2, [5, 20]), limits=Limits(3, 60))
    bad, good = batcher.next_run(), batcher.next_run()
    assert bad is not None
    assert good is not None
    first, rest = Run(bad.entries[:1], bad.width), Run(bad.entries[1:], bad.width)
    assert [job.header.request.number for job in batcher.fail(first)] == [1]
    finished = [*batcher.finish(rest, compute(rest)), *batcher.finish(good, compute(good))]
    assert [job.header.request.number for job, _ in finished] == [2]


def test_what_a_failed_job_has_waiting_is_not_computed_but_its_equals_are() -> None:
    shared = a_row(5, 7)

    def a_job_with(number: int, *rows: Row) -> ReadyJob:
        header = JobHeader(RequestRef(number, b'client', b'1', 1, len(rows)), 0, 0, 0, len(rows), Lane.URGENT)
        return ReadyJob(header, rows, 25)

    batcher = a_batcher(a_job_with(1, a_row(20, 1), a_row(5, 2), shared), a_job_with(2, shared), limits=Limits(1, 100))
    run = batcher.next_run()
    assert run is not None
    assert [job.header.request.number for job in batcher.fail(run)] == [1]
    assert [job.header.request.number for job in batcher.fail(run)] == []
    left = [run.rows for run in iter(batcher.next_run, None)]
    assert left == [[shared]]


def test_the_halves_of_a_run_have_its_rows_and_its_width() -> None:
    run = a_batcher(a_job(1, [5, 6, 7])).next_run()
    assert run is not None
    first, second = run.halves()
    assert first.rows + second.rows == run.rows
    assert (len(first.rows), first.width, second.width) == (1, 7, 7)


@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from(Lane), st.lists(st.tuples(st.integers(1, 25), st.integers(0, 3)), min_size=1, max_size=8)
        ),
        max_size=30,
    ),
    takes=st.lists(st.integers(0, 3), min_size=30, max_size=30),
    limits=st.builds(Limits, st.integers(1, 9), st.integers(1, 120)),
    token_level=st.booleans(),
)
def test_every_row_is_answered_once_with_its_own_answer_and_no_run_is_too_large(
    jobs: list[tuple[Lane, list[tuple[int, int]]]], takes: list[int], limits: Limits, token_level: bool
) -> None:
    batcher = Batcher(limits)
    answers: dict[int, NDArray[np.generic]] = {}
    made = []

    def work() -> bool:
        waiting = len(batcher)
        run = batcher.next_run()
        if run is None:
            return False
        assert len(batcher) == waiting - len(run.rows)
        assert len(run.rows) == 1 or (len(run.rows) <= limits.rows and len(run.rows) * run.width <= limits.tokens)
        assert run.width == max(len(row) for row in run.rows)
        for job, answer in batcher.finish(run, compute_tokens(run) if token_level else compute(run)):
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
    run = batcher.next_run()
    assert run is not None
    assert run.rows == [shared]
    assert [job.header.request.number for job, _ in batcher.finish(run, compute(run))] == [2]


def test_a_request_that_is_dropped_while_some_of_its_rows_are_computed_is_not_answered_with_them() -> None:
    batcher = a_batcher(a_job(1, [5, 5]), limits=Limits(1, 100))
    run = batcher.next_run()
    assert run is not None
    assert [job.header.request.number for job in batcher.drop(1)] == [1]
    assert list(batcher.finish(run, compute(run))) == []
    assert list(batcher.fail(run)) == []
    assert len(batcher) == 0


def test_a_request_all_of_whose_rows_are_being_computed_is_not_let_go_of_twice() -> None:
    batcher = a_batcher(a_job(1, [5]))
    run = batcher.next_run()
    assert run is not None
    assert batcher.drop(1) == []
    assert [job.header.request.number for job, _ in batcher.finish(run, compute(run))] == [1]


def test_both_jobs_of_a_dropped_request_are_named() -> None:
    batcher = a_batcher(a_job(1, [5], lane=Lane.URGENT), a_job(1, [5, 6], lane=Lane.BULK), a_job(2, [5]))
    assert [len(job.rows) for job in batcher.drop(1)] == [1, 2]
    assert take(batcher) == [2]


def test_after_a_clearing_nothing_waits_and_no_half_of_a_job_is_answered() -> None:
    batcher = a_batcher(a_job(1, [5, 5]), a_job(2, [5, 5], lane=Lane.BULK), limits=Limits(1, 100))
    run = batcher.next_run()
    assert run is not None
    batcher.clear()
    assert len(batcher) == 0
    assert list(batcher.finish(run, compute(run))) == []
    batcher.add(a_job(3, [5]))
    assert take(batcher) == [3]


def test_a_job_on_which_a_worker_has_died_gets_runs_of_half_the_rows() -> None:
    job = a_job(1, [5, 6, 7, 8, 9, 10])
    gently = ReadyJob(replace(job.header, reduced_batch=True), job.rows, job.max_len)
    batcher = a_batcher(gently)
    answered = []
    sizes = []
    while (run := batcher.next_run()) is not None:
        sizes.append(len(run.rows))
        answered += [job.header.request.number for job, _ in batcher.finish(run, compute(run))]
    assert sizes == [3, 2, 1]
    assert answered == [1]


def test_the_oldest_row_is_in_the_half_that_is_computed_first() -> None:
    job = a_job(1, [5, 9, 7])
    batcher = a_batcher(ReadyJob(replace(job.header, reduced_batch=True), job.rows, job.max_len))
    run = batcher.next_run()
    assert run is not None
    assert [len(row) for row in run.rows] == [5, 9]
    assert (run.width, run.tokens) == (9, 14)
