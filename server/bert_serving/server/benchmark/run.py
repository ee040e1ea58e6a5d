"""Run a benchmark: plan it, start the servers, measure, and write the report.

`cli.benchmark_main` calls it, in the process of the clients. One server runs at a time, on free ports. The first
measurement of every load is a warm-up that does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..console.streams import say
from ..errors import ServingError
from ..model.config import EncoderConfig
from ..model.folder import find_model
from ..options.settings import OPTIONS, Settings
from ..parent.address import Address
from ..parent.devices import CPU, plan_devices
from ..parent.server_process import MODULE, ServerProcess
from ..security.client_keys import ClientKeys
from . import plots
from .load import LoadGenerator, connect, parse_address
from .machine import describe_machine
from .plan import FP32, PRECISION_FLAGS, Cell, Experiment, Grid, Metric, Options, group_by_server, plan_experiments
from .report_files import facts_of, make_log, write_report
from .results import Result, format_values, least_cosine, make_json, make_report
from .sentences import WORDS, make_sentences, read_vocabulary
from .servers import CLIENT_ERRORS, can_serve, describe_error, served_model, wait_for

MAX_SEQ_LENS = (20, 40, 80, 160, 320)
NUM_WORKERS = (1, 2, 4)
"""The values to try by default, as far as the model and the machine allow."""


def run_benchmark(args: argparse.Namespace, server_module: str = MODULE) -> int:
    """Run the benchmark for `args`, from `helper.get_benchmark_parser`, and return the number of failed cells.

    `server_module` is the module of the server process; a test passes another one.

    Raises:
        UsageError, ModelError: nothing was started.
        StartError: the server of `-against` does not answer.
    """
    if args.peers:
        from .peers.command import run_peers  # and modules that only -peers needs

        return run_peers(args, server_module)
    keys = ClientKeys.from_args(args)
    other = parse_address(args.against)._replace(keys=keys) if args.against else None
    with served_model(args) as (settings, temp_dirs):
        settings = replace(settings, left_to_model=frozenset())  # as in 1.10: the experiments vary the layer
        model = find_model(settings.model_dir, settings.tuned_model_dir, settings.ckpt_name, settings.config_name)
        experiments = plan_experiments(args.experiments, _make_grid(args, settings, model.config))
        if other is not None:
            wait_for(other, args.wait_till_ready)
        log = make_log(args.output_dir)

        def start(options: Options) -> ServerProcess:
            return ServerProcess(
                replace(settings, **options), log, args.wait_till_ready, temp_dirs, server_module, keys
            )

        vocabulary = read_vocabulary(args.client_vocab_file) if args.client_vocab_file else WORDS
        measurement = Measurement(start, other, vocabulary, args.num_repeat)
        results = measurement.run(experiments)
    _report(args, experiments, results, None if other is None else str(other))
    return sum(result.failure is not None for result in results)


def _make_grid(args: argparse.Namespace, settings: Settings, config: EncoderConfig) -> Grid:
    """The values of the `-test_...` options; by default, those that the model and the machine allow."""
    fitting = [length for length in MAX_SEQ_LENS if length <= config.max_position_embeddings]
    flags = [flag for flag in PRECISION_FLAGS if flag in OPTIONS]
    grid = Grid(
        max_seq_len=args.test_max_seq_len or fitting,
        client_batch_size=args.test_client_batch_size,
        num_client=args.test_num_client,
        max_batch_size=args.test_max_batch_size,
        pooling_layer=args.test_pooling_layer or [-1 - depth for depth in range(config.num_hidden_layers)],
        num_worker=args.test_num_worker or _affordable_workers(settings),
        precision=args.test_precision or [FP32, *flags],
        precision_flags=flags,
        rows=args.test_rows,
    )
    if args.test_precision:
        return grid
    return replace(grid, precision=[name for name, options in grid.precisions if can_serve(settings, options)])


def _affordable_workers(settings: Settings) -> list[int]:
    devices = set(plan_devices(max(NUM_WORKERS), settings.cpu, settings.device_map).devices)
    places = len(os.sched_getaffinity(0)) if devices == {CPU} else len(devices)
    return [number for number in NUM_WORKERS if number <= places]


class Measurement:
    """Runs the cells of a plan, one server after another."""

    def __init__(
        self,
        start: Callable[[Options], ServerProcess],
        other: Address | None,
        vocabulary: Sequence[str],
        num_repeat: int,
    ) -> None:
        """`start` makes a server with some options changed; `other` is measured in turn with it."""
        self._start = start
        self._other = other
        self._vocabulary = vocabulary
        self._num_repeat = num_repeat
        self._exact: Any = None
        """The vectors that the server computed in float32."""

    def run(self, experiments: Sequence[Experiment]) -> list[Result]:
        """Measure every cell. If a server does not start, only its own cells fail."""
        groups = group_by_server(experiments)
        results: list[Result] = []
        with _ProgressBar(sum(len(cells) for _, cells in groups)) as progress:
            for options, cells in groups:
                for result in self._measure_on_one_server(options, cells):
                    results.append(result)
                    progress.show(result)
        return results

    def _measure_on_one_server(self, options: Options, cells: Sequence[Cell]) -> Iterator[Result]:
        try:
            server = self._start(options).__enter__()
        except ServingError as error:
            yield from (Result(cell, failure=error.message) for cell in cells)
            return
        with contextlib.ExitStack() as stack:
            stack.push(server)
            for cell in cells:
                yield self._measure(server.address, cell)

    def _measure(self, address: Address, cell: Cell) -> Result:
        """Measure a cell. If a request to either server fails, the cell fails."""
        sentences = make_sentences(cell.load.rows, cell.load.words, self._vocabulary)
        if cell.metric is Metric.COSINE:
            return self._compare_vectors(address, cell, sentences)
        addresses = [address]
        if self._other is not None and cell.is_comparable:
            addresses.append(self._other)
        rounds: list[list[float]] = []
        try:
            with contextlib.ExitStack() as stack:
                loads = [
                    stack.enter_context(LoadGenerator(partial(connect, address), cell.load)) for address in addresses
                ]
                for _ in range(1 + self._num_repeat):
                    rounds.append([load.run(sentences).value(cell.metric) for load in loads])
        except CLIENT_ERRORS as error:
            return Result(cell, failure=describe_error(error))
        counted = rounds[1:]
        return Result(cell, [values[0] for values in counted], [values[1] for values in counted if values[1:]])

    def _compare_vectors(self, address: Address, cell: Cell, sentences: Sequence[str]) -> Result:
        """Compare the vectors of a server with those in float32, which come first."""
        try:
            with connect(address) as client:
                vectors = client.encode(list(sentences))
        except CLIENT_ERRORS as error:
            return Result(cell, failure=describe_error(error))
        if cell.row == FP32:
            self._exact = vectors
        if self._exact is None:
            return Result(cell, failure='there are no vectors in float32 to compare with')
        return Result(cell, [least_cosine(vectors, self._exact)])


class _ProgressBar:
    """A tqdm progress bar, or a line for each cell if tqdm is not installed, on standard error. A context manager."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar: Any = None

    def __enter__(self) -> _ProgressBar:
        with contextlib.suppress(ImportError):
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit='cell')
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, result: Result) -> None:
        """Show the result of one more cell."""
        self._done += 1
        cell = result.cell
        text = 'failed' if result.failure else '%s %s' % (format_values(result.values, cell.metric), cell.metric.value)
        words = '%s, %s: %s' % (cell.row, cell.column, text)
        if self._bar is None:
            say('%d/%d %s' % (self._done, self._total, words), sys.stderr)
        else:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update()


def _report(
    args: argparse.Namespace, experiments: Sequence[Experiment], results: Sequence[Result], other: str | None
) -> None:
    """Write `report.md`, `results.json` and the charts to the output folder, and print the report."""
    facts = facts_of(args, machine=describe_machine())
    report = make_report(experiments, results, facts, other)
    write_report(args.output_dir, report, make_json(experiments, results, facts, other))
    try:
        plots.draw_all(args.output_dir, experiments, results)
    except ImportError:
        say('no pictures: matplotlib is not installed (%s)' % plots.REQUIREMENT, sys.stderr)
