"""The rules by which small HTTP requests share a call of the server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.http.backend import Encoding
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.sharing import (
    LEAST_CALLS,
    MAX_CHARACTERS,
    MAX_ROWS,
    MAX_WAIT_S,
    WAIT_SHARE,
    Pace,
    can_share,
    max_shared_rows,
    split_encoding,
)

WORKERS = [{'worker': 0, 'state': 'ready'}]
STATUS: dict[str, Any] = {'workers': WORKERS, 'priority_batch_size': 16, 'pooling_strategy': 2}


@pytest.mark.parametrize(
    'texts', [['a'], ['你好'], ['é!', '... 7'], ['a' * MAX_CHARACTERS], ['a'] * MAX_ROWS, ['a ||| b']]
)
def test_small_requests_share(texts: list[str]) -> None:
    assert can_share(Rows(texts))


@pytest.mark.parametrize('texts', [['a' * (MAX_CHARACTERS + 1)], ['a' * 200, 'b' * 57], ['a'] * (MAX_ROWS + 1)])
def test_a_request_that_keeps_others_waiting_calls_alone(texts: list[str]) -> None:
    assert not can_share(Rows(texts))


@pytest.mark.parametrize('text', ['', ' ', '\u200b', '...', '\u0301', '\uff9e', '\u037a'])
def test_a_text_that_can_be_without_tokens_calls_alone(text: str) -> None:
    assert not can_share(Rows([text]))
    assert not can_share(Rows(['a', text]))


def test_only_texts_share() -> None:
    assert not can_share(Rows([['a']], 'tokens'))
    assert not can_share(Rows([[7]], 'ids'))
    assert not can_share(Rows([['a', 'b']], 'pairs'))


@pytest.mark.parametrize(('workers', 'rows'), [(1, 16), (2, 8), (3, 5), (16, 1), (40, 1)])
def test_a_shared_call_leaves_work_for_the_other_workers(workers: int, rows: int) -> None:
    assert max_shared_rows({**STATUS, 'workers': WORKERS * workers}) == rows


@pytest.mark.parametrize(('priority', 'rows'), [(0, 1), (1, 1), (4, 4), (512, MAX_ROWS)])
def test_a_shared_call_keeps_its_priority(priority: int, rows: int) -> None:
    assert max_shared_rows({**STATUS, 'priority_batch_size': priority}) == rows


def test_nothing_is_shared_before_the_first_status() -> None:
    assert max_shared_rows(None) == 1


def test_nothing_is_shared_with_release_1_10_which_lists_no_workers() -> None:
    assert max_shared_rows({'server_version': '1.10.0', 'num_worker': 1, 'priority_batch_size': 16}) == 1
    assert max_shared_rows({**STATUS, 'workers': []}) == 1


def test_nothing_is_shared_where_the_length_of_a_row_depends_on_the_others() -> None:
    assert max_shared_rows({**STATUS, 'pooling_strategy': 0}) == 1


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.data())
def test_each_request_gets_its_own_rows_of_a_call(sizes: list[int], data: st.DataObject) -> None:
    total = sum(sizes)
    array = np.arange(total * 2, dtype=np.float32).reshape(total, 2)
    truncated = sorted(data.draw(st.sets(st.integers(0, total - 1))))
    parts = split_encoding(Encoding(array, '', list(range(total)), truncated), sizes)
    assert [len(part.array) for part in parts] == sizes
    np.testing.assert_array_equal(np.concatenate([part.array for part in parts]), array)
    assert [count for part in parts for count in part.counts or ()] == list(range(total))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    assert [row + start for part, start in zip(parts, starts, strict=True) for row in part.truncated] == truncated


def test_counts_that_the_server_does_not_give_stay_unknown() -> None:
    assert [part.counts for part in split_encoding(Encoding(np.zeros((2, 1)), '', None), [1, 1])] == [None, None]


def test_nobody_waits_before_the_first_call_has_ended() -> None:
    assert Pace().wait_s == 0


def test_the_wait_is_a_small_share_of_a_call() -> None:
    pace = Pace()
    for _ in range(200):
        pace.record(0.02)
    assert pace.wait_s == pytest.approx(0.02 * WAIT_SHARE)


def test_a_request_that_shares_has_time_for_several_calls() -> None:
    pace = Pace()
    assert pace.least_left_s == 0
    for _ in range(200):
        pace.record(0.02)
    assert pace.least_left_s == pytest.approx(0.02 * LEAST_CALLS)


@given(st.lists(st.floats(0, 1e6)))
def test_the_wait_is_short_even_after_long_calls(durations: list[float]) -> None:
    pace = Pace()
    for seconds in durations:
        pace.record(seconds)
    assert 0 <= pace.wait_s <= MAX_WAIT_S
