"""The results of a benchmark: the numbers of each cell, and their tables and JSON. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import Cell, Experiment, Metric


@dataclass(frozen=True, slots=True)
class Timing:
    """The duration of a load, from the common start to the end of the last client, and the latency of each request."""

    rows: int
    seconds: float
    latencies_s: Sequence[float]

    def value(self, metric: Metric) -> float:
        """The value of `metric`: rows per second of all clients, or the median latency in milliseconds."""
        if metric is Metric.RATE:
            return self.rows / self.seconds
        return 1000 * statistics.median(self.latencies_s)


@dataclass(frozen=True, slots=True)
class Spread:
    """Several values of one quantity, summarized in three numbers."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return '%s (%s..%s)' % tuple(map(format_number, (self.median, self.least, self.most)))


@dataclass(frozen=True, slots=True)
class Result:
    """The values of a cell, one per repeat, and the values of the other server, measured in turn.

    `failure` says why there are no values.
    """

    cell: Cell
    values: Sequence[float] = ()
    other: Sequence[float] = ()
    failure: str | None = None

    @property
    def ratio(self) -> Spread | None:
        """The ratio of our value to the other server's."""
        return ratio_of(self.values, self.other)


def ratio_of(ours: Sequence[float], others: Sequence[float]) -> Spread | None:
    """The ratios of our values to others, repeat by repeat: a slow moment of the machine affects both.

    It is None if there is no repeat that has both.
    """
    ratios = [mine / its for mine, its in zip(ours, others)]
    return spread(ratios) if ratios else None


def spread(values: Sequence[float]) -> Spread:
    """The median, minimum and maximum of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def least_cosine(vectors: NDArray[Any], exact: NDArray[Any]) -> float:
    """The smallest cosine of a vector to the exact one, of arrays [B, D] or [B, T, D], without padding."""
    pairs = [array.reshape(-1, array.shape[-1]).astype(np.float64) for array in (vectors, exact)]
    lengths = [np.linalg.norm(array, axis=1) for array in pairs]
    counts = lengths[1] > 0
    cosines = (pairs[0] * pairs[1]).sum(axis=1)[counts] / (lengths[0] * lengths[1])[counts]
    return float(cosines.min())


def format_number(value: float) -> str:
    """Format a number with three significant digits or more, without an exponent."""
    return '%.*f' % (0 if value >= 100 else 1 if value >= 10 else 2, value)


def format_values(values: Sequence[float], metric: Metric) -> str:
    """Format the values of a cell: a cosine with four digits, others as a spread."""
    return '%.4f' % min(values) if metric is Metric.COSINE else str(spread(values))


def format_ratio(ratio: Spread | None) -> str:
    """Format a ratio for a table: the median stands out. Empty without a ratio."""
    return '' if ratio is None else '**%.2f** (%.2f..%.2f)' % (ratio.median, ratio.least, ratio.most)


def format_rows(rows: Sequence[Sequence[str]]) -> str:
    """Format rows of equal length as a Markdown table. The first one is its head."""
    lines = [rows[0], ['---'] * len(rows[0]), *rows[1:]]
    return '\n'.join('| %s |' % ' | '.join(line) for line in lines)


def make_table(experiment: Experiment, results: Sequence[Result], other: str | None = None) -> str:
    """Format an experiment as a Markdown table: median (least..most) in every cell.

    If there are values of another server, named `other`, two columns follow each of ours: its values and the ratio.
    """
    by_place = {(result.cell.row, result.cell.column): result for result in results}
    rows = list(dict.fromkeys(cell.row for cell in experiment.cells))
    columns = list(dict.fromkeys(cell.column for cell in experiment.cells))
    is_compared = any(result.other for result in results)
    head = [experiment.parameter]
    for column in columns:
        head += [column, str(other), 'ratio'] if is_compared else [column]
    lines = [head]
    for row in rows:
        line = [row]
        for column in columns:
            line += _format_result(by_place.get((row, column)))[: 3 if is_compared else 1]
        lines.append(line)
    return format_rows(lines)


def _format_result(result: Result | None) -> list[str]:
    """The three cells of a result: ours, the other's, the ratio."""
    if result is None:
        return ['', '', '']
    if result.failure is not None:
        return ['failed', '', '']
    ours = format_values(result.values, result.cell.metric)
    other = str(spread(result.other)) if result.other else ''
    return [ours, other, format_ratio(result.ratio)]


def make_report(
    experiments: Sequence[Experiment], results: Sequence[Result], facts: Mapping[str, Any], other: str | None = None
) -> str:
    """The report in Markdown: `facts` about the benchmark, then each experiment with its table and failures."""
    parts = ['# Benchmark', '\n'.join('- %s: %s' % fact for fact in facts.items())]
    for experiment in experiments:
        own = results_of(experiment, results)
        parts += ['## %s' % experiment.name, experiment.about, make_table(experiment, own, other)]
        failures = dict.fromkeys('%s, %s: %s' % (r.cell.row, r.cell.column, r.failure) for r in own if r.failure)
        parts += ['\n'.join('- failed: %s' % failure for failure in failures)] if failures else []
    return '\n\n'.join(parts) + '\n'


def make_json(
    experiments: Sequence[Experiment], results: Sequence[Result], facts: Mapping[str, Any], other: str | None = None
) -> dict[str, Any]:
    """The report as JSON values, with every single measurement."""
    return {
        'facts': dict(facts),
        'against': other,
        'experiments': [
            {
                'name': experiment.name,
                'about': experiment.about,
                'cells': [_describe(result) for result in results_of(experiment, results)],
            }
            for experiment in experiments
        ],
    }


def results_of(experiment: Experiment, results: Sequence[Result]) -> list[Result]:
    """The results of the cells of `experiment`, in their order."""
    return [result for cell in experiment.cells for result in results if result.cell == cell]


def _describe(result: Result) -> dict[str, Any]:
    cell = result.cell
    return {
        'row': cell.row,
        'column': cell.column,
        'options': dict(cell.options),
        'load': asdict(cell.load),
        'unit': cell.metric.value,
        'values': list(result.values),
        'against': list(result.other),
        'ratio': None if result.ratio is None else result.ratio.median,
        'failure': result.failure,
    }
