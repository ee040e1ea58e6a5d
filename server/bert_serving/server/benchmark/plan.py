"""Plan a benchmark: the experiments, the cells of their tables, and which cells can share a server.

Pure; called by `run.py`, and by `helper.py` for the names of the experiments.

An experiment is a table. Each of its cells is one load (numbers of clients, requests and rows) on one server. The
server has the options of the command line, except those that the experiment varies. The experiments are the six of the
benchmark in the README, and `targets`, the cells that a release must not make slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..options.engines import ONNX_RUNTIME

Options = Mapping[str, Any]

PRECISION_FLAGS = ('bf16', 'fp16', 'xla', 'int8')
"""Server options that trade precision or startup time for speed. A release can lack some of them."""

_OPTIONS_OF_PRECISION: Mapping[str, Options] = {'int8': {'engine': ONNX_RUNTIME}}
"""The options that such a flag needs."""

FP32 = 'fp32'
"""The name of the precision without any of these flags."""

MAX_REQUESTS = 32
"""The maximum number of requests of one client in one measurement. More small requests would only take longer."""

MANY_CLIENTS_BATCH_ROWS = 64
"""Rows per request in the experiment that varies the number of clients."""


class Metric(Enum):
    """The quantity that a cell measures. The value is its unit."""

    RATE = 'rows/s'
    LATENCY = 'ms'
    COSINE = 'least cosine to fp32'
    """Of the vectors of all rows, to those that the server computed in float32."""


@dataclass(frozen=True, slots=True)
class Load:
    """The load of `num_client` concurrent clients. Each sends `num_request` requests of `batch_rows` rows, one by one.

    `words` is the length of every sentence, or None for the lengths of natural text.
    """

    num_client: int
    batch_rows: int
    num_request: int
    words: int | None = None

    @property
    def rows(self) -> int:
        """The rows of all clients together."""
        return self.num_client * self.batch_rows * self.num_request


def plan_load(rows: int, num_client: int, batch_rows: int, words: int | None = None) -> Load:
    """The load with these clients and rows per request that comes closest to `rows` in total."""
    wanted = -(-rows // (num_client * batch_rows))
    return Load(num_client, batch_rows, min(wanted, MAX_REQUESTS), words)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table. `options` are the server options that differ from the command line."""

    row: str
    column: str
    options: Options
    load: Load
    metric: Metric = Metric.RATE

    @property
    def is_comparable(self) -> bool:
        """Whether another server, which keeps its own options, does the same work for this load."""
        return self.metric is not Metric.COSINE and set(self.options) <= {'num_worker', 'engine', *PRECISION_FLAGS}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A table: its name, the heading of its first column, what it shows, and its cells row by row."""

    name: str
    parameter: str
    about: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Grid:
    """The values to try, from the `-test_...` options.

    `precision` contains `FP32` and flags, and `precision_flags` all flags of this server. `rows` is the number of rows
    per measurement, unless a client would need more than `MAX_REQUESTS` requests for it.
    """

    max_seq_len: Sequence[int]
    client_batch_size: Sequence[int]
    num_client: Sequence[int]
    max_batch_size: Sequence[int]
    pooling_layer: Sequence[int]
    num_worker: Sequence[int]
    precision: Sequence[str]
    precision_flags: Sequence[str]
    rows: int

    def load(self, num_client: int, batch_rows: int, words: int | None = None) -> Load:
        """The load of about `rows` rows with these clients and rows per request."""
        return plan_load(self.rows, num_client, batch_rows, words)

    @property
    def precisions(self) -> Iterator[tuple[str, Options]]:
        """The name and the options of each precision; float32, with which others are compared, comes first."""
        for name in sorted(self.precision, key=lambda name: name != FP32):
            yield name, {**{flag: flag == name for flag in self.precision_flags}, **_OPTIONS_OF_PRECISION.get(name, {})}


def _try_max_seq_len(grid: Grid) -> Iterator[Cell]:
    for length in grid.max_seq_len:
        for column, options in _workers(grid):
            yield Cell(str(length), column, {**options, 'max_seq_len': length}, grid.load(1, grid.rows, words=length))


def _try_client_batch_size(grid: Grid) -> Iterator[Cell]:
    for rows in grid.client_batch_size:
        for column, options in _workers(grid):
            yield Cell(str(rows), column, options, grid.load(1, rows))


def _try_num_client(grid: Grid) -> Iterator[Cell]:
    for clients in grid.num_client:
        for column, options in _workers(grid):
            yield Cell(str(clients), column, options, grid.load(clients, MANY_CLIENTS_BATCH_ROWS))


def _try_max_batch_size(grid: Grid) -> Iterator[Cell]:
    for rows in grid.max_batch_size:
        for column, options in _workers(grid):
            yield Cell(str(rows), column, {**options, 'max_batch_size': rows}, grid.load(1, grid.rows))


def _try_pooling_layer(grid: Grid) -> Iterator[Cell]:
    for layer in grid.pooling_layer:
        for column, options in _workers(grid):
            yield Cell('[%d]' % layer, column, {**options, 'pooling_layer': (layer,)}, grid.load(1, grid.rows))


def _try_precision(grid: Grid) -> Iterator[Cell]:
    for name, flags in grid.precisions:
        for column, options in _workers(grid):
            yield Cell(name, column, {**options, **flags}, grid.load(1, grid.rows))
        if FP32 in grid.precision:
            options = {'num_worker': grid.num_worker[0], **flags}
            yield Cell(name, Metric.COSINE.value, options, grid.load(1, grid.rows), Metric.COSINE)


def _try_targets(grid: Grid) -> Iterator[Cell]:
    loads = [
        ('bulk, rows/s', grid.load(1, grid.rows), Metric.RATE),
        ('32 clients x 1, rows/s', grid.load(32, 1), Metric.RATE),
        ('8 clients x 64, rows/s', grid.load(8, 64), Metric.RATE),
        ('one sentence, p50, ms', grid.load(1, 1), Metric.LATENCY),
    ]
    for row, load, metric in loads:
        for name, flags in grid.precisions:
            yield Cell(row, name, {'num_worker': grid.num_worker[0], **flags}, load, metric)


def _workers(grid: Grid) -> Iterator[tuple[str, Options]]:
    for number in grid.num_worker:
        yield '%d worker%s' % (number, 's' * (number > 1)), {'num_worker': number}


_EXPERIMENTS: Mapping[str, tuple[str, str, Callable[[Grid], Iterator[Cell]]]] = {
    'max_seq_len': (
        '`max_seq_len`',
        'Rows per second of one client, by the maximum sequence length; the sentences are long enough to fill it.',
        _try_max_seq_len,
    ),
    'client_batch_size': (
        '`client_batch_size`',
        'Rows per second of one client, by the rows per request.',
        _try_client_batch_size,
    ),
    'num_client': (
        '`num_client`',
        'Rows per second of all clients together, each with requests of %d rows.' % MANY_CLIENTS_BATCH_ROWS,
        _try_num_client,
    ),
    'max_batch_size': (
        '`max_batch_size`',
        'Rows per second of one client, by the maximum rows of a batch.',
        _try_max_batch_size,
    ),
    'pooling_layer': (
        '`pooling_layer`',
        'Rows per second of one client, by the pooled layer; the layers above it are not computed.',
        _try_pooling_layer,
    ),
    'precision': (
        'precision',
        'Rows per second of one client, in float32 and with each option that changes the precision; and how much the '
        'vectors change: the smallest cosine of a row.',
        _try_precision,
    ),
    'targets': (
        '',
        'Bulk is one request of one client. In the other rows, each client sends one request after another.',
        _try_targets,
    ),
}

EXPERIMENTS = tuple(_EXPERIMENTS)
"""The names of the experiments, in the order of the report."""


def plan_experiments(names: Sequence[str], grid: Grid) -> list[Experiment]:
    """The experiments with these names, in the order of `EXPERIMENTS`. Those without a value in `grid` are left out."""
    experiments = []
    for name, (parameter, about, make_cells) in _EXPERIMENTS.items():
        cells = tuple(make_cells(grid)) if name in names else ()
        if cells:
            experiments.append(Experiment(name, parameter, about, cells))
    return experiments


def group_by_server(experiments: Sequence[Experiment]) -> list[tuple[Options, list[Cell]]]:
    """Group the cells by the server options that they need, to start as few servers as possible."""
    groups: list[tuple[Options, list[Cell]]] = []
    for experiment in experiments:
        for cell in experiment.cells:
            for options, cells in groups:
                if options == cell.options:
                    cells.append(cell)
                    break
            else:
                groups.append((cell.options, [cell]))
    return groups
