"""The results of `-peers`: the values, the ratios, and their tables and JSON.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..plan import Load, Metric, plan_load
from ..results import Spread, format_ratio, format_rows, format_values, ratio_of

EXACT_ROWS = 64
"""The sentences whose vectors are compared."""


@dataclass(frozen=True, slots=True)
class Task:
    """One load that every participant gets, and its metric."""

    title: str
    load: Load
    metric: Metric


def plan_tasks(rows: int) -> list[Task]:
    """The loads of the experiment `targets`, of about `rows` rows."""
    return [
        Task('bulk, rows/s', plan_load(rows, 1, rows), Metric.RATE),
        Task('one sentence, p50, ms', plan_load(rows, 1, 1), Metric.LATENCY),
        Task('32 clients x 1, rows/s', plan_load(rows, 32, 1), Metric.RATE),
        Task('8 clients x 64, rows/s', plan_load(rows, 8, 64), Metric.RATE),
    ]


@dataclass(slots=True)
class Line:
    """A server or a library. The keys of `values` and `failures` are the titles of the tasks.

    `failure` says why it was not measured at all, and `cosine` how close its vectors are to ours.
    """

    title: str
    is_ours: bool = False
    versions: str = ''
    unit: str = ''
    cosine: float | None = None
    failure: str | None = None
    values: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def ratio(self, ours: Line, task: Task) -> Spread | None:
        """Our value divided by this line's, or None if one of them has failed."""
        return ratio_of(ours.values.get(task.title, ()), self.values.get(task.title, ()))

    def number_of_failures(self, tasks: Sequence[Task]) -> int:
        """The number of cells without values."""
        return len(tasks) if self.failure is not None else len(self.failures)


def make_report(
    facts: Mapping[str, Any], tasks: Sequence[Task], lines: Sequence[Line], missing: Sequence[str], notes: Sequence[str]
) -> str:
    """The report in Markdown: facts, a table of the engines, a table for each task, and the missing peers and cells."""
    parts = ['# Benchmark', _list('%s: %s' % fact for fact in facts.items())]
    parts += ['## peers', *notes, _engines(lines)]
    for task in tasks:
        parts += ['### %s' % task.title, _table(task, lines)]
    failures = ['failed: %s: %s' % (line.title, line.failure) for line in lines if line.failure is not None]
    failures += [
        'failed: %s, %s: %s' % (title, line.title, why) for line in lines for title, why in line.failures.items()
    ]
    rest = _list([*missing, *failures])
    return '\n\n'.join([*parts, rest] if rest else parts) + '\n'


def _list(items: Any) -> str:
    return '\n'.join('- %s' % item for item in items)


def _engines(lines: Sequence[Line]) -> str:
    """The versions of each line, the unit of the processor that it used, and the smallest cosine of its vectors."""
    rows = [['', 'versions', 'unit of the processor', 'least cosine']]
    for line in lines:
        cosine = '' if line.cosine is None else '%.4f' % line.cosine
        rows.append([line.title, line.versions, line.unit, cosine])
    return format_rows(rows)


def _table(task: Task, lines: Sequence[Line]) -> str:
    ours = [line for line in lines if line.is_ours]
    rows = [['', task.metric.value, *('%s, ratio' % line.title for line in ours)]]
    for line in lines:
        values = line.values.get(task.title)
        if not values:
            rows.append([line.title, 'failed', *('' for _ in ours)])
            continue
        ratios = [line.ratio(mine, task) for mine in ours]
        rows.append([line.title, format_values(values, task.metric), *map(format_ratio, ratios)])
    return format_rows(rows)


def make_json(
    facts: Mapping[str, Any], tasks: Sequence[Task], lines: Sequence[Line], missing: Sequence[str]
) -> dict[str, Any]:
    """The report as JSON values, with every single measurement."""
    ours = [line for line in lines if line.is_ours]
    return {
        'facts': dict(facts),
        'not_installed': list(missing),
        'engines': [
            {
                'name': line.title,
                'is_ours': line.is_ours,
                'versions': line.versions,
                'unit': line.unit,
                'least_cosine': line.cosine,
                'failure': line.failure,
            }
            for line in lines
        ],
        'tasks': [
            {
                'name': task.title,
                'unit': task.metric.value,
                'load': asdict(task.load),
                'cells': [_describe(task, line, ours) for line in lines],
            }
            for task in tasks
        ],
    }


def _describe(task: Task, line: Line, ours: Sequence[Line]) -> dict[str, Any]:
    ratios = {mine.title: line.ratio(mine, task) for mine in ours}
    return {
        'name': line.title,
        'values': list(line.values.get(task.title, ())),
        'ratios': {title: ratio.median for title, ratio in ratios.items() if ratio is not None},
        'failure': line.failure or line.failures.get(task.title),
    }
