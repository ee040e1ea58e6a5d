"""Numbers, tables and JSON of the benchmark."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bert_serving.server.benchmark.plan import Cell, Experiment, Load, Metric
from bert_serving.server.benchmark.results import (
    Result,
    Spread,
    Timing,
    format_number,
    format_values,
    least_cosine,
    make_json,
    make_report,
    make_table,
    spread,
)

LOAD = Load(num_client=2, batch_rows=3, num_request=4)
SMALL, LARGE = (Cell(row, '1 worker', {'num_worker': 1}, LOAD) for row in ('8', '16'))
EXPERIMENT = Experiment('size', '`size`', 'By size.', [SMALL, LARGE])


def test_what_a_metric_makes_of_a_timing() -> None:
    timing = Timing(rows=24, seconds=0.5, latencies_s=[0.1, 0.2, 0.9])
    assert timing.value(Metric.RATE) == 48
    assert timing.value(Metric.LATENCY) == pytest.approx(200)


def test_a_spread() -> None:
    assert spread([5, 1, 2]) == Spread(median=2, least=1, most=5)
    assert str(spread([0.25, 12.34, 1234.5])) == '12.3 (0.25..1234)'


@pytest.mark.parametrize(
    ('value', 'text'), [(0, '0.00'), (1.234, '1.23'), (12.34, '12.3'), (123.4, '123'), (98765.4, '98765')]
)
def test_numbers_are_shown_with_three_digits(value, text) -> None:
    assert format_number(value) == text


def test_the_least_cosine_of_the_vectors_of_rows_or_tokens() -> None:
    exact = np.array([[1, 0], [0, 2], [3, 3]], np.float32)
    vectors = np.array([[1, 0], [1, 1], [5, 5]], np.float32)
    assert least_cosine(vectors, exact) == pytest.approx(np.sqrt(0.5))
    padded = np.array([[[1, 0], [0, 0]], [[0, 2], [3, 3]]], np.float32)
    assert least_cosine(padded, padded) == pytest.approx(1)


def test_a_cosine_is_shown_with_four_digits() -> None:
    assert format_values([0.99512, 0.99734], Metric.COSINE) == '0.9951'
    assert format_values([1, 2, 3], Metric.RATE) == '2.00 (1.00..3.00)'


def test_a_ratio_is_taken_repeat_by_repeat() -> None:
    assert Result(SMALL, [10, 40], [5, 10]).ratio == Spread(3, 2, 4)
    assert Result(SMALL, [10, 40]).ratio is None


def test_a_table() -> None:
    results = [Result(LARGE, [30]), Result(SMALL, [1, 2, 3])]
    assert make_table(EXPERIMENT, results).splitlines() == [
        '| `size` | 1 worker |',
        '| --- | --- |',
        '| 8 | 2.00 (1.00..3.00) |',
        '| 16 | 30.0 (30.0..30.0) |',
    ]


def test_a_table_with_another_server_has_two_columns_more() -> None:
    results = [Result(SMALL, [10, 30], [5, 10]), Result(LARGE, failure='no memory')]
    assert make_table(EXPERIMENT, results, 'host:1,2').splitlines() == [
        '| `size` | 1 worker | host:1,2 | ratio |',
        '| --- | --- | --- | --- |',
        '| 8 | 20.0 (10.0..30.0) | 7.50 (5.00..10.0) | **2.50** (2.00..3.00) |',
        '| 16 | failed |  |  |',
    ]


def test_cells_that_were_not_measured_are_blank_and_those_not_compared_stand_alone() -> None:
    results = [Result(SMALL, [10], [5])]
    assert make_table(EXPERIMENT, results, 'it').splitlines()[-1] == '| 16 |  |  |  |'
    results.append(Result(LARGE, [7]))
    assert make_table(EXPERIMENT, results, 'it').splitlines()[-1] == '| 16 | 7.00 (7.00..7.00) |  |  |'


def test_a_report_has_the_facts_the_tables_and_the_failures() -> None:
    report = make_report([EXPERIMENT], [Result(SMALL, [1]), Result(LARGE, failure='no memory')], {'machine': 'a PC'})
    assert report.startswith('# Benchmark\n\n- machine: a PC\n\n## size\n\nBy size.\n\n| `size` |')
    assert report.endswith('\n\n- failed: 16, 1 worker: no memory\n')
    assert 'failed' not in make_report([EXPERIMENT], [Result(SMALL, [1])], {})


def test_json_has_every_value() -> None:
    results = [Result(LARGE, [30], [10]), Result(SMALL, failure='no memory')]
    value = json.loads(json.dumps(make_json([EXPERIMENT], results, {'machine': 'a PC'}, 'host:1,2')))
    assert value['facts'] == {'machine': 'a PC'}
    assert value['against'] == 'host:1,2'
    (experiment,) = value['experiments']
    assert (experiment['name'], experiment['about']) == ('size', 'By size.')
    assert experiment['cells'] == [
        {
            'row': '8',
            'column': '1 worker',
            'options': {'num_worker': 1},
            'unit': 'rows/s',
            'values': [],
            'load': {'num_client': 2, 'batch_rows': 3, 'num_request': 4, 'words': None},
            'against': [],
            'ratio': None,
            'failure': 'no memory',
        },
        {
            'row': '16',
            'column': '1 worker',
            'options': {'num_worker': 1},
            'unit': 'rows/s',
            'values': [30],
            'load': {'num_client': 2, 'batch_rows': 3, 'num_request': 4, 'words': None},
            'against': [10],
            'ratio': 3,
            'failure': None,
        },
    ]
