"""How many rows a batch can have, and which rows are computed together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.worker.batch_limits import BatchLimits


@given(st.integers(1, 2**14), st.integers(1, 256), st.integers(1, 2**20), st.integers(1, 2**26))
def test_no_batch_of_several_rows_exceeds_a_limit(width: int, rows: int, tokens: int, pairs: int) -> None:
    limits = BatchLimits(rows, tokens, pairs)
    most = limits.rows_of(width)
    assert 1 <= most <= rows
    assert most == 1 or (most * width <= tokens and most * width**2 <= pairs)
    assert most == rows or (most + 1) * width > tokens or (most + 1) * width**2 > pairs


@pytest.mark.parametrize(
    ('run_cost', 'count'),
    [(None, 5), (60, 5), (59, 3), (1, 3), (0, 2)],
    ids=['never', 'as much as it saves', 'less', 'only the first cut pays', 'nothing'],
)
def test_a_cut_is_made_where_it_saves_more_padding_than_a_run_costs(run_cost: int | None, count: int) -> None:
    """Two runs save 2 * (40 - 10) tokens of padding, and a third saves 1 more."""
    assert BatchLimits(8, 10**6, 10**6, run_cost).cut([40, 40, 39, 10, 10]) == count


@pytest.mark.parametrize(('run_cost', 'count'), [(3000, 5), (2999, 3), (159, 3), (0, 2)])
def test_a_cut_is_made_where_it_saves_more_pairs_than_a_run_costs(run_cost: int, count: int) -> None:
    """If only attention computes padding, two runs save 2 * (40 ** 2 - 10 ** 2) pairs, and a third 79 more."""
    assert BatchLimits(8, 10**6, 10**6, run_cost, costs_pairs=True).cut([40, 40, 39, 10, 10]) == count


@pytest.mark.parametrize(('costs_pairs', 'power'), [(False, 1), (True, 2)])
@given(lengths=st.lists(st.integers(1, 512), min_size=1, max_size=64), run_cost=st.integers(0, 256))
def test_to_cut_never_costs_more_than_one_run_of_all(
    lengths: list[int], run_cost: int, costs_pairs: bool, power: int
) -> None:
    lengths.sort(reverse=True)
    limits = BatchLimits(64, 10**6, 10**9, run_cost, costs_pairs)
    rest, cost = lengths, 0
    while rest:
        count = limits.cut(rest)
        assert 1 <= count <= len(rest)
        cost += run_cost + count * rest[0] ** power
        rest = rest[count:]
    assert cost <= run_cost + len(lengths) * lengths[0] ** power


@given(st.lists(st.integers(1, 512), min_size=1, max_size=64))
def test_without_a_cost_of_a_run_rows_are_never_cut(lengths: list[int]) -> None:
    lengths.sort(reverse=True)
    assert BatchLimits(64, 10**6, 10**9).cut(lengths) == len(lengths)
