"""The worker's decisions: what joins a run, who goes first, and that every job gets its own rows back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.batching import MAX_OVERTAKES, Batcher, ReadyJob, Run
from bert_serving.server.features import Row
from bert_serving.server.wire import JobHeader


def a_row(length: int, max_len: int = 25, masked: bool = False) -> Row:
    return Row(list(range(1, length + 1)), length, masked, max_len)


def a_job(number: int, rows: int, urgent: bool = True, length: int = 5, max_len: int = 25) -> ReadyJob:
    header = JobHeader(number, 0, 0, 1, 0, rows, rows, urgent, b'client', b'1')
    return ReadyJob(header, [a_row(length, max_len) for _ in range(rows)], max_len)


def numbers(run: Run | None) -> list[int]:
    assert run is not None
    return [job.header.number for job in run.jobs]


def test_an_empty_batcher_has_no_run() -> None:
    batcher = Batcher(8)
    assert batcher.next_run() is None
    assert len(batcher) == 0


def test_jobs_of_several_requests_join_in_order_while_they_fit() -> None:
    batcher = Batcher(8)
    for number, rows in enumerate((3, 4, 2, 1)):
        batcher.add(a_job(number, rows))
    assert len(batcher) == 4
    assert numbers(batcher.next_run()) == [0, 1]
    assert numbers(batcher.next_run()) == [2, 3]
    assert batcher.next_run() is None


def test_a_run_is_as_wide_as_its_longest_row() -> None:
    batcher = Batcher(8)
    batcher.add(a_job(1, 2, length=5))
    batcher.add(a_job(2, 2, length=9))
    run = batcher.next_run()
    assert run is not None
    assert run.width == 9
    assert len(run.rows) == 4


def test_an_urgent_job_goes_ahead_of_bulk_that_came_before() -> None:
    batcher = Batcher(8)
    batcher.add(a_job(1, 8, urgent=False))
    batcher.add(a_job(2, 1))
    assert numbers(batcher.next_run()) == [2]
    assert numbers(batcher.next_run()) == [1]


def test_bulk_is_overtaken_only_so_often() -> None:
    batcher = Batcher(8)
    batcher.add(a_job(0, 8, urgent=False))
    order = []
    for number in range(1, 2 * MAX_OVERTAKES):
        batcher.add(a_job(number, 8))
        order += numbers(batcher.next_run())
    assert order.index(0) == MAX_OVERTAKES


def test_a_job_whose_answer_depends_on_padding_runs_alone_at_its_own_length() -> None:
    header = JobHeader(2, 0, 0, 1, 0, 1, 1, True, b'client', b'1')
    masked = ReadyJob(header, [a_row(2, max_len=7, masked=True)], 7)
    batcher = Batcher(8)
    batcher.add(a_job(1, 1, length=20))
    batcher.add(masked)
    batcher.add(a_job(3, 1, length=20))
    assert numbers(batcher.next_run()) == [1]
    run = batcher.next_run()
    assert numbers(run) == [2]
    assert run is not None
    assert run.width == 7
    assert numbers(batcher.next_run()) == [3]


def test_each_job_gets_its_own_rows_of_a_sentence_level_output() -> None:
    run = Run([a_job(1, 2), a_job(2, 3)], 5)
    output = np.arange(5 * 7, dtype=np.float32).reshape(5, 7)
    parts = {job.header.number: array for job, array in run.divide(output)}
    np.testing.assert_array_equal(parts[1], output[:2])
    np.testing.assert_array_equal(parts[2], output[2:])


def test_a_token_level_output_is_cut_to_the_length_of_its_job() -> None:
    run = Run([a_job(1, 2, length=4, max_len=4), a_job(2, 1, length=9, max_len=9)], 9)
    output = np.ones((3, 9, 7), np.float32)
    assert [array.shape for _, array in run.divide(output)] == [(2, 4, 7), (1, 9, 7)]


@given(
    jobs=st.lists(st.tuples(st.integers(1, 8), st.booleans(), st.integers(1, 25)), max_size=40),
    taken_between=st.lists(st.integers(0, 3), min_size=40, max_size=40),
)
def test_every_job_is_in_one_run_and_no_run_is_too_large(
    jobs: list[tuple[int, bool, int]], taken_between: list[int]
) -> None:
    batcher = Batcher(8)
    runs: list[Run] = []
    for number, ((rows, urgent, length), takes) in enumerate(zip(jobs, taken_between, strict=False)):
        batcher.add(a_job(number, rows, urgent, length))
        for _ in range(takes):
            run = batcher.next_run()
            runs += [run] if run else []
    while run := batcher.next_run():
        runs.append(run)
    done = [number for run in runs for number in numbers(run)]
    assert sorted(done) == list(range(len(jobs)))
    assert all(len(run.rows) <= 8 for run in runs)
    assert all(run.width == max(len(row) for row in run.rows) for run in runs)
    for lane in (True, False):
        in_lane = [number for number in done if jobs[number][1] is lane]
        assert in_lane == sorted(in_lane), 'a lane keeps its order'
