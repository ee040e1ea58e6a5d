"""Which cells the tables of the benchmark have, and which of them share a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bert_serving.server.benchmark.plan import (
    EXPERIMENTS,
    MAX_REQUESTS,
    Grid,
    Load,
    Metric,
    group_by_server,
    plan_experiments,
)

GRID = Grid(
    max_seq_len=[20, 40],
    client_batch_size=[1, 64, 4096],
    num_client=[1, 32],
    max_batch_size=[32, 256],
    pooling_layer=[-1, -2, -3],
    num_worker=[1, 2],
    precision=['fp32', 'fp16'],
    precision_flags=['fp16', 'xla'],
    rows=512,
)


def cells_of(name: str):
    (experiment,) = plan_experiments([name], GRID)
    return experiment.cells


def test_the_experiments_are_those_of_the_readme_and_the_targets() -> None:
    assert EXPERIMENTS == (
        'max_seq_len',
        'client_batch_size',
        'num_client',
        'max_batch_size',
        'pooling_layer',
        'precision',
        'targets',
    )


def test_experiments_come_in_one_order_whatever_the_order_of_the_names() -> None:
    names = [experiment.name for experiment in plan_experiments(['targets', 'num_client'], GRID)]
    assert names == ['num_client', 'targets']


def test_an_experiment_without_values_is_left_out() -> None:
    empty = Grid(
        max_seq_len=[],
        client_batch_size=[],
        num_client=[1],
        max_batch_size=[],
        pooling_layer=[],
        num_worker=[1],
        precision=['fp32'],
        precision_flags=[],
        rows=1,
    )
    assert [e.name for e in plan_experiments(EXPERIMENTS, empty)] == ['num_client', 'precision', 'targets']


@pytest.mark.parametrize(
    ('name', 'rows', 'columns'),
    [
        ('max_seq_len', ['20', '40'], ['1 worker', '2 workers']),
        ('client_batch_size', ['1', '64', '4096'], ['1 worker', '2 workers']),
        ('num_client', ['1', '32'], ['1 worker', '2 workers']),
        ('max_batch_size', ['32', '256'], ['1 worker', '2 workers']),
        ('pooling_layer', ['[-1]', '[-2]', '[-3]'], ['1 worker', '2 workers']),
        ('precision', ['fp32', 'fp16'], ['1 worker', '2 workers', 'least cosine to fp32']),
    ],
)
def test_a_table_has_a_row_for_each_value_and_a_column_for_each_number_of_workers(name, rows, columns) -> None:
    assert [(cell.row, cell.column) for cell in cells_of(name)] == [(row, column) for row in rows for column in columns]


def test_long_sequences_are_measured_with_sentences_that_fill_them() -> None:
    first = cells_of('max_seq_len')[0]
    assert first.options == {'num_worker': 1, 'max_seq_len': 20}
    assert first.load == Load(num_client=1, batch_rows=512, num_request=1, words=20)


def test_each_precision_turns_the_other_flags_off() -> None:
    assert [cell.options for cell in cells_of('precision') if cell.column == '1 worker'] == [
        {'num_worker': 1, 'fp16': False, 'xla': False},
        {'num_worker': 1, 'fp16': True, 'xla': False},
    ]


def test_int8_needs_the_other_engine_and_float32_comes_first() -> None:
    grid = replace(GRID, num_worker=[1], precision=['int8', 'fp32'], precision_flags=['bf16', 'int8'])
    (experiment,) = plan_experiments(['precision'], grid)
    assert [(cell.row, cell.metric, cell.options) for cell in experiment.cells] == [
        (name, metric, options)
        for name, options in (
            ('fp32', {'num_worker': 1, 'bf16': False, 'int8': False}),
            ('int8', {'num_worker': 1, 'bf16': False, 'int8': True, 'engine': 'onnxruntime'}),
        )
        for metric in (Metric.RATE, Metric.COSINE)
    ]


def test_without_float32_no_vectors_are_compared() -> None:
    (experiment,) = plan_experiments(['precision'], replace(GRID, precision=['fp16']))
    assert {cell.metric for cell in experiment.cells} == {Metric.RATE}


def test_the_targets() -> None:
    fp32 = [cell for cell in cells_of('targets') if cell.column == 'fp32']
    assert [(cell.row, cell.load.num_client, cell.load.batch_rows, cell.metric) for cell in fp32] == [
        ('bulk, rows/s', 1, 512, Metric.RATE),
        ('32 clients x 1, rows/s', 32, 1, Metric.RATE),
        ('8 clients x 64, rows/s', 8, 64, Metric.RATE),
        ('one sentence, p50, ms', 1, 1, Metric.LATENCY),
    ]


@pytest.mark.parametrize(
    ('num_client', 'batch_rows', 'num_request'), [(1, 512, 1), (1, 100, 6), (1, 1, MAX_REQUESTS), (64, 64, 1)]
)
def test_a_load_has_as_many_rows_as_asked_within_the_bounds(num_client, batch_rows, num_request) -> None:
    load = GRID.load(num_client, batch_rows)
    assert load == Load(num_client, batch_rows, num_request)
    assert load.rows == num_client * batch_rows * num_request


def test_only_cells_that_ask_the_same_work_of_every_server_are_compared() -> None:
    comparable = {name: {cell.is_comparable for cell in cells_of(name)} for name in EXPERIMENTS}
    assert comparable == {
        'max_seq_len': {False},
        'client_batch_size': {True},
        'num_client': {True},
        'max_batch_size': {False},
        'pooling_layer': {False},
        'precision': {True, False},  # vectors of another server are not compared with ours
        'targets': {True},
    }


def test_cells_with_the_same_options_share_a_server() -> None:
    experiments = plan_experiments(['client_batch_size', 'num_client', 'pooling_layer'], GRID)
    groups = group_by_server(experiments)
    assert [options for options, _ in groups[:3]] == [
        {'num_worker': 1},
        {'num_worker': 2},
        {'num_worker': 1, 'pooling_layer': (-1,)},
    ]
    assert [len(cells) for _, cells in groups] == [5, 5] + 6 * [1]
    assert sum(len(cells) for _, cells in groups) == sum(len(experiment.cells) for experiment in experiments)
