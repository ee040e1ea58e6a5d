"""What is measured: the experiments, the cells of their tables, and which cells can share a server.

Pure; called by `run.py`, and by `helper.py` for the names of the experiments.

An experiment is a table. Each of its cells is one load (so many clients, each with so many requests of so many rows) on
one server (the options of the command line, but for those that the experiment varies). The experiments are the six of
the README's benchmark and `targets`, the cells by which a release is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Options = Mapping[str, Any]

PRECISION_FLAGS = ('bf16', 'fp16', 'xla')
"""Options of the server that trade exactness, or the time to start, for speed; a release may lack some."""

FP32 = 'fp32'
"""The precision without any of these flags."""

MAX_REQUESTS = 32
"""Requests of one client in one measurement; with small ones, more would only take longer."""

CROWD_BATCH_ROWS = 64
"""Rows of each request where many clients are compared with few."""


class Metric(Enum):
    """What a cell counts; the value is the unit."""

    RATE = 'rows/s'
    LATENCY = 'ms'


@dataclass(frozen=True, slots=True)
class Load:
    """`num_client` clients at once, each of which sends `num_request` requests of `batch_rows` rows, one by one.

    `words` is the length of every sentence, None for the lengths of natural text.
    """

    num_client: int
    batch_rows: int
    num_request: int
    words: int | None = None

    @property
    def rows(self) -> int:
        """Rows of all clients together."""
        return self.num_client * self.batch_rows * self.num_request


@dataclass(frozen=True, slots=True)
class Cell:
    """One place in a table. `options` are the server's, where they differ from the command line's."""

    row: str
    column: str
    options: Options
    load: Load
    metric: Metric = Metric.RATE

    @property
    def is_comparable(self) -> bool:
        """Whether another server, whose options are what they are, does the same work for this load."""
        return set(self.options) <= {'num_worker', *PRECISION_FLAGS}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A table: its name, what stands over its first column, what it shows, its cells row by row."""

    name: str
    parameter: str
    about: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that are tried: those of the `-test_...` options.

    `precision` has `FP32` or a flag at each place, `precision_flags` all the flags that there are. `rows` is how many
    rows a measurement has, as far as its clients and batches allow.
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
        """The load of so many clients and rows a request that comes nearest to `rows`."""
        wanted = -(-self.rows // (num_client * batch_rows))
        return Load(num_client, batch_rows, min(wanted, MAX_REQUESTS), words)

    @property
    def precisions(self) -> Iterator[tuple[str, Options]]:
        """The name of each precision, and the options for it."""
        for name in self.precision:
            yield name, {flag: flag == name for flag in self.precision_flags}


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
            yield Cell(str(clients), column, options, grid.load(clients, CROWD_BATCH_ROWS))


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
        'Rows a second of one client, by the longest sequence; the sentences are long enough to fill it.',
        _try_max_seq_len,
    ),
    'client_batch_size': (
        '`client_batch_size`',
        'Rows a second of one client, by the rows of each of its requests.',
        _try_client_batch_size,
    ),
    'num_client': (
        '`num_client`',
        'Rows a second of all clients together, each with requests of %d rows.' % CROWD_BATCH_ROWS,
        _try_num_client,
    ),
    'max_batch_size': (
        '`max_batch_size`',
        'Rows a second of one client, by the maximum rows of a batch.',
        _try_max_batch_size,
    ),
    'pooling_layer': (
        '`pooling_layer`',
        'Rows a second of one client, by the layer that is pooled; those above it are not computed.',
        _try_pooling_layer,
    ),
    'precision': (
        'precision',
        'Rows a second of one client: float32, and each option that changes what is computed with.',
        _try_precision,
    ),
    'targets': (
        '',
        'Bulk is one request of one client. The clients of the other rows send one request after another.',
        _try_targets,
    ),
}

EXPERIMENTS = tuple(_EXPERIMENTS)
"""Their names, in the order in which they are reported."""


def plan_experiments(names: Sequence[str], grid: Grid) -> list[Experiment]:
    """The experiments of these names, in the order of `EXPERIMENTS`; without those for which `grid` has no value."""
    experiments = []
    for name, (parameter, about, make_cells) in _EXPERIMENTS.items():
        cells = tuple(make_cells(grid)) if name in names else ()
        if cells:
            experiments.append(Experiment(name, parameter, about, cells))
    return experiments


def group_by_server(experiments: Sequence[Experiment]) -> list[tuple[Options, list[Cell]]]:
    """The options of every server that is needed, each with the cells that it can serve, so that few are started."""
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
