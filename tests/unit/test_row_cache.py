"""The cache of a worker: equal rows only, no more rows or bytes than it may have, the least recently used out first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.protocol.ring import JobHeader, Lane, RequestRef
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.batcher import Batcher, ReadyJob
from bert_serving.server.worker.cache import RowCache
from bert_serving.server.worker.rows import Row


def a_row(*ids: int) -> Row:
    return Row(list(ids), len(ids), (), 25)


def vector_of(row: Row) -> np.ndarray:
    """[2]: what stands for the answer of the graph."""
    return np.array([sum(row.ids), len(row)], np.float32)


def keep(cache: RowCache, *rows: Row) -> None:
    for row in rows:
        cache.put(row, vector_of(row))


def test_an_equal_row_finds_its_answer_and_a_new_one_none() -> None:
    cache = RowCache(10)
    keep(cache, a_row(1, 2), a_row(3))
    found = cache.get(a_row(1, 2))
    assert found is not None
    assert found.tolist() == [3, 2]
    assert cache.get(a_row(2, 1)) is None


def test_rows_that_differ_in_segments_masks_or_the_prompt_are_not_equal() -> None:
    row = a_row(1, 2, 3)
    cache = RowCache(10)
    keep(cache, row)
    for other in (replace(row, first_segment=1), replace(row, masked=(0,)), replace(row, prompt_length=1)):
        assert cache.get(other) is None
    assert cache.get(replace(row, job_length=7)) is not None


def test_a_row_without_a_token_that_counts_is_found_for_the_same_length_only() -> None:
    row = replace(a_row(1, 2), masked=(0, 1))
    cache = RowCache(10)
    keep(cache, row)
    assert cache.get(row) is not None
    assert cache.get(replace(row, job_length=7)) is None


def test_the_least_recently_used_row_goes_first() -> None:
    cache = RowCache(2)
    keep(cache, a_row(1), a_row(2))
    cache.get(a_row(1))
    keep(cache, a_row(3))
    assert [cache.get(a_row(number)) is not None for number in (1, 2, 3)] == [True, False, True]


def test_token_states_are_kept_without_their_padding_and_apart_from_their_batch() -> None:
    cache = RowCache(10)
    batch = np.ones((2, 5, 3), np.float32)
    cache.put(a_row(1, 2), batch[0])
    batch[:] = 7
    found = cache.get(a_row(1, 2))
    assert found is not None
    assert found.shape == (2, 3)
    assert (found == 1).all()
    assert found.base is None


def test_an_answer_that_is_larger_than_the_bound_is_not_kept() -> None:
    cache = RowCache(10, max_bytes=1000)
    keep(cache, a_row(1))
    cache.put(a_row(2), np.zeros(1000, np.float32))
    assert cache.get(a_row(2)) is None
    assert cache.get(a_row(1)) is not None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=80), st.integers(1, 8), st.integers(500, 4000))
def test_it_never_has_more_rows_or_bytes_than_it_may_and_never_a_wrong_answer(
    steps: list[tuple[bool, int]], max_rows: int, max_bytes: int
) -> None:
    cache = RowCache(max_rows, max_bytes)
    for puts, number in steps:
        row = a_row(number, 1)
        if puts:
            keep(cache, row)
        elif (found := cache.get(row)) is not None:
            assert found.tolist() == vector_of(row).tolist()
        assert len(cache) <= max_rows
        assert 0 <= cache.bytes <= max_bytes
    assert bool(cache.bytes) == bool(len(cache))


@given(
    jobs=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=20),
    max_rows=st.integers(1, 5),
    computes=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_with_a_cache_every_job_gets_the_answer_that_it_gets_without(
    jobs: list[list[int]], max_rows: int, computes: list[bool]
) -> None:
    batcher = Batcher(BatchLimits(3, 100, pairs=10_000), RowCache(max_rows))
    answers: dict[int, list[list[float]]] = {}

    def compute() -> None:
        batch = batcher.next_batch()
        if batch is not None:
            output = np.array([vector_of(row) for row in batch.rows])
            batcher.remember(batch, output)
            for job, array in batcher.finish(batch, output):
                answers[job.header.request.number] = array.tolist()

    for number, ids in enumerate(jobs):
        header = JobHeader(RequestRef(number, b'client', b'1', 1, len(ids)), 0, 0, 0, len(ids), Lane.URGENT)
        cached = batcher.add(ReadyJob(header, [a_row(each) for each in ids], 25))
        if cached is not None:
            answers[number] = cached.tolist()
        if computes[number]:
            compute()
    while len(batcher):
        compute()
    assert answers == {number: [vector_of(a_row(each)).tolist() for each in ids] for number, ids in enumerate(jobs)}
