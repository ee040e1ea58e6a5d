"""Draw a bar chart of each experiment: bars for the medians, with lines from the minimum to the maximum.

matplotlib is optional; only this module imports it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .plan import Experiment, Metric
from .results import Result, results_of, spread

REQUIREMENT = "pip install 'bert-serving-server[benchmark]>=2'"


def draw_all(folder: str, experiments: Sequence[Experiment], results: Sequence[Result]) -> list[str]:
    """Write `<name>.svg` for each experiment that has rows per second, and no latencies; return the paths.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use('svg')
    paths = []
    for experiment in experiments:
        measured = [
            result
            for result in results_of(experiment, results)
            if result.values and result.cell.metric is not Metric.COSINE
        ]
        if measured and all(result.cell.metric is Metric.RATE for result in measured):
            paths.append(os.path.join(folder, experiment.name + '.svg'))
            _draw(paths[-1], experiment, measured)
    return paths


def _draw(path: str, experiment: Experiment, results: Sequence[Result]) -> None:
    from matplotlib import pyplot

    rows = list(dict.fromkeys(result.cell.row for result in results))
    columns = list(dict.fromkeys(result.cell.column for result in results))
    width = 0.8 / len(columns)
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for number, column in enumerate(columns):
        own = [result for result in results if result.cell.column == column]
        spreads = [spread(result.values) for result in own]
        axes.bar(
            [rows.index(result.cell.row) + (number - (len(columns) - 1) / 2) * width for result in own],
            [s.median for s in spreads],
            width,
            yerr=[[s.median - s.least for s in spreads], [s.most - s.median for s in spreads]],
            capsize=3,
            label=column,
        )
    axes.set_xticks(range(len(rows)), rows)
    axes.set_xlabel(experiment.parameter.strip('`'))
    axes.set_ylabel(Metric.RATE.value)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
