#!/usr/bin/env python3
"""How fast is the server on a GPU? Prints one JSON object; the log and the tables go to standard error. See README.md.

    python tests/gpu/measure.py -folder /tmp/models -output measure.json      on a GPU, in less than 4 minutes
    python tests/gpu/measure.py -rehearse                                     on a CPU, with a tiny model
    python tests/gpu/measure.py -rehearse -few                                the same in seconds, without TensorFlow

Models have random weights. The servers of a table start at the same time, and the script measures them one after
another. The most important tables come first, because the script skips those that do not fit into the time: BERT-Base
in each precision and with two workers, sentence-transformers on the same card, the six tables of docs/benchmark.md, the
token budget, and then MiniLM and BERT-Large.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu import servers

servers.prepare_paths()

from tokenizers import BertWordPieceTokenizer  # noqa: E402

from bert_serving.server.benchmark.load import LoadGenerator, connect  # noqa: E402
from bert_serving.server.benchmark.plan import Cell, Experiment, Grid, Load, Metric, plan_experiments  # noqa: E402
from bert_serving.server.benchmark.random_model import SHAPES, write_model  # noqa: E402
from bert_serving.server.benchmark.results import Result, make_table, results_of, spread  # noqa: E402
from bert_serving.server.benchmark.sentences import make_sentences  # noqa: E402
from bert_serving.server.errors import ServingError  # noqa: E402
from bert_serving.server.options.settings import Settings  # noqa: E402
from bert_serving.server.parent.server_process import ServerProcess  # noqa: E402
from gpu.answers import TINY  # noqa: E402
from gpu.batching import RUN_COST, WINDOW  # noqa: E402
from gpu.batching_exporter import PACKS  # noqa: E402
from gpu.report import Facts, Report, Skip, say  # noqa: E402
from scaling.scaling_worker import FLOATS, SECONDS  # noqa: E402
from support.serving import SMALL_MODEL  # noqa: E402

WITHIN_S = 235.0
TOKENS = 40
"""The tokens of a text, as in the benchmark of 1.10."""

REPEATS = 3

PRECISIONS: dict[str, Facts] = {
    'float32': {},
    'fp16': {'fp16': True},
    'bf16': {'bf16': True},
    'xla': {'xla': True},
    'fp16 xla': {'fp16': True, 'xla': True},
    'fp16, 2 workers on one card': {'fp16': True, 'num_worker': 2, 'device_map': (0, 0)},
}

BULK, ONE = 'bulk, rows/s', 'one sentence, p50, ms'


class Sizes:
    """The sizes of the measurements: on a card, in a rehearsal, or in a rehearsal with few cells."""

    def __init__(self, args: argparse.Namespace) -> None:
        few, rehearse = args.few, args.rehearse
        self.rows = 32 if few else 64 if rehearse else 8192
        self.table_rows = 32 if few else 64 if rehearse else 4096
        self.sentences = 4 if rehearse else 64
        self.precisions = ['fp16'] if few else list(PRECISIONS)
        self.budgets = [] if rehearse else [4096, 8192, 16384, 32768, 65536]
        every = [(4, 0, False), (4, 2048, False), (10, 0, False), (10, 2048, False), (4, 0, True)]
        self.batchings = [] if few else every[-1:] if rehearse else every
        """Windows in batches, costs of a run in tokens (0 never cuts a batch), and whether to leave out padding."""
        self.batch_sizes = [8] if rehearse else [32, 64, 128, 256, 512, 1024]
        self.wave = 1 if rehearse else 6
        """Servers that start at the same time."""
        self.repeats = 1 if rehearse else REPEATS
        self.grid = Grid(
            max_seq_len=[] if few else [20, 40] if rehearse else [20, 40, 80, 160, 320],
            client_batch_size=[1, 8] if rehearse else [1, 4, 8, 16, 64, 256, 512, 1024],
            num_client=[1, 2] if rehearse else [1, 2, 4, 8, 16, 32],
            max_batch_size=[] if few else [32] if rehearse else [32, 64, 128, 256, 512],
            pooling_layer=[] if few else [-2] if rehearse else [-1, -3, -6, -9, -12],
            num_worker=[1],
            precision=[],
            precision_flags=[],
            rows=self.table_rows,
        )


@dataclass
class Group:
    """Cells that can share a server. With an `environment`, it is one of `batching.py`."""

    settings: Settings
    environment: dict[str, str]
    cells: list[Cell]


class Measurements:
    """Starts servers, measures cells, and keeps the tables."""

    def __init__(self, args: argparse.Namespace, folder: Path, report: Report) -> None:
        self.rehearse: bool = args.rehearse
        self.few: bool = args.few
        self.sizes = Sizes(args)
        self.folder = folder
        self.tables: dict[str, str] = {}
        self._report = report
        self._module = 'scaling.scaling_server' if args.few else ServerProcess.__module__

    def model(self, name: str) -> str:
        """Return the folder of a random model, which is tiny in a rehearsal."""
        if self.few:
            return SMALL_MODEL
        path = self.folder / ('tiny' if self.rehearse else name)
        if not (path / 'config.json').exists():
            say('write the model %s...', path.name)
            path.mkdir(parents=True, exist_ok=True)
            write_model(str(path), TINY if self.rehearse else SHAPES[name])
        return str(path)

    def settings(self, model: str, options: Facts) -> Settings:
        return replace(
            Settings(
                model_dir=self.model(model),
                port=0,
                port_out=0,
                cpu=self.rehearse,
                max_seq_len=TOKENS,
                export_cache=str(self.folder / 'exports'),
                gpu_memory_fraction=0.3,
            ),
            **options,
        )

    def tables_of(self, model: str, experiments: Sequence[Experiment], common: Facts) -> Facts:
        """Measure all cells of some tables, wave by wave. Raise RuntimeError if a cell failed."""
        groups: list[Group] = []
        all_cells = [cell for experiment in experiments for cell in experiment.cells]
        for cell in all_cells:
            options = {name: value for name, value in cell.options.items() if not name.isupper()}
            environment = {name: str(value) for name, value in cell.options.items() if name.isupper()}
            settings = self.settings(model, {**common, **options})
            for group in groups:
                if (group.settings, group.environment) == (settings, environment):
                    group.cells.append(cell)
                    break
            else:
                groups.append(Group(settings, environment, [cell]))
        results: list[Result] = []
        try:
            for first in range(0, len(groups), self.sizes.wave):
                self._measure_wave(groups[first : first + self.sizes.wave], results)
        finally:
            for experiment in experiments:
                name = '%s, %s' % (model, experiment.name)
                self.tables[name] = make_table(experiment, results_of(experiment, results))
                say('%s\n%s', name, self.tables[name])
        failures = {'%s, %s' % (r.cell.row, r.cell.column): r.failure for r in results if r.failure}
        if failures:
            raise RuntimeError('%d of %d cells: %s' % (len(failures), len(all_cells), failures))
        return {
            '%s%s | %s' % (experiment.parameter, r.cell.row, r.cell.column): round(spread(r.values).median, 2)
            for experiment in experiments
            for r in results_of(experiment, results)
        }

    def _measure_wave(self, groups: Sequence[Group], results: list[Result]) -> None:
        with ThreadPoolExecutor(len(groups)) as pool:
            started = list(pool.map(self._start, groups))
            try:
                for group, server in zip(groups, started, strict=True):
                    for cell in group.cells:
                        if isinstance(server, str):
                            results.append(Result(cell, failure=server))
                        else:
                            results.append(self._measure(server, cell))
            finally:
                running = [server for server in started if isinstance(server, ServerProcess)]
                list(pool.map(lambda server: server.__exit__(None, None, None), running))

    def _start(self, group: Group) -> ServerProcess | str:
        """Start the server of a group. If it cannot start, return the reason, with the end of its log."""
        module = self._module if not group.environment else 'gpu.batching'
        with tempfile.NamedTemporaryFile(prefix='server-', suffix='.log', dir=self.folder, delete=False) as file:
            log = Path(file.name)
        server = ServerProcess(group.settings, str(log), 120, module=module)
        server._child.environment.update(group.environment)
        try:
            return server.__enter__()
        except ServingError as error:
            return '%s: %s' % (error.message, log.read_text('utf-8', 'replace')[-400:])

    def _measure(self, server: ServerProcess, cell: Cell) -> Result:
        sentences = make_sentences(cell.load.rows, cell.load.words)
        try:
            with LoadGenerator(partial(connect, server.address), cell.load) as load:
                values = [load.run(sentences).value(cell.metric) for _ in range(1 + self.sizes.repeats)]
        except (OSError, RuntimeError, ValueError) as error:
            return Result(cell, failure='%s: %s' % (type(error).__name__, error))
        return Result(cell, values[1:])

    def speeds(self, model: str, precisions: Iterable[str]) -> Facts:
        """Measure bulk and one sentence, in each precision."""
        sizes = self.sizes
        loads = (
            (BULK, Load(1, sizes.rows, 1, words=TOKENS), Metric.RATE),
            (ONE, Load(1, 1, sizes.sentences), Metric.LATENCY),
        )
        cells = [Cell(row, name, PRECISIONS[name], load, metric) for row, load, metric in loads for name in precisions]
        return self.tables_of(model, [Experiment('precision', '', '', cells)], {})

    def batching(self, model: str) -> Facts:
        """Measure bulk with texts of natural length, for each way to batch them."""
        load = Load(1, self.sizes.table_rows, 1)
        cells = [
            Cell(
                'window of %d batches' % window,
                'without padding' if packs else 'a run costs %d' % cost,
                {WINDOW: window, RUN_COST: cost, PACKS: int(packs), 'export_cache': 'NONE'},
                load,
            )
            for window, cost, packs in self.sizes.batchings
        ]
        if not cells:
            raise Skip('a rehearsal with few cells has no batcher for a GPU')
        return self.tables_of(model, [Experiment('batching', '', '', cells)], {'fp16': True})

    def peer(self, model: str) -> Facts:
        """Measure the same texts with sentence-transformers and the machine's packages, without ours."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ('PYTHONPATH', 'LD_LIBRARY_PATH', 'XLA_FLAGS')
        }
        probe = [
            sys.executable,
            '-c',
            'import importlib.util as u; print(u.find_spec("sentence_transformers") is not None)',
        ]
        if b'True' not in subprocess.run(probe, env=environment, capture_output=True, check=False).stdout:
            raise Skip('sentence-transformers is not installed')
        texts = self.folder / 'texts.json'
        texts.write_text(json.dumps(make_sentences(self.sizes.rows, words=TOKENS)), 'utf-8')
        command = [sys.executable, str(Path(__file__).with_name('peer.py')), self._peer_model(model), str(texts)]
        command += ['-max_seq_len', str(TOKENS), '-batch_sizes', *map(str, self.sizes.batch_sizes)]
        command += ['-cpu'] if self.rehearse else []
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=self._report.left_s, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        facts: Facts = json.loads(done.stdout.splitlines()[-1])
        return facts

    def budgets(self, model: str) -> Facts:
        """Measure bulk for each `-max_batch_tokens`, with as many rows as fit."""
        load = Load(1, self.sizes.table_rows, 1, words=TOKENS)
        cells = [
            Cell(str(budget), 'fp16', {'max_batch_tokens': budget, 'max_batch_size': 2048}, load)
            for budget in self.sizes.budgets
        ]
        if not cells:
            raise Skip('a rehearsal: a CPU has another budget')
        experiment = Experiment('max_batch_tokens', '`max_batch_tokens`', '', cells)
        return self.tables_of(model, [experiment], {'fp16': True})

    def _peer_model(self, model: str) -> str:
        """Return a folder with the same weights and a tokenizer.json, which ours lacks to get 1.10's tokenizer."""
        ours = Path(self.model(model)).resolve()
        theirs = self.folder / ('peer-' + ours.name)
        theirs.mkdir(exist_ok=True)
        for name in ('config.json', 'vocab.txt', 'model.safetensors'):
            if not (theirs / name).exists():
                (theirs / name).symlink_to(ours / name)
        BertWordPieceTokenizer(str(ours / 'vocab.txt')).save(str(theirs / 'tokenizer.json'))
        return str(theirs)


def compare_with_peer(ours: Facts | None, peer: Facts | None) -> Facts:
    """Return the ratio of bulk in our best precision with one worker to the peer's with its best batch size."""
    if ours is None or peer is None:
        raise Skip('one of the two was not measured')
    best = max(
        (value, name)
        for name, value in ours.items()
        if name.startswith(BULK) and 'workers' not in name and '16' in name
    )
    ratio = best[0] / peer['best']
    facts = {'ours': best[0], 'with': best[1], 'peer': peer['best'], 'ratio': round(ratio, 3)}
    if ratio < 1:
        raise RuntimeError('the peer is faster: %s' % facts)
    return facts


def compare_workers(ours: Facts | None) -> Facts:
    """Return the ratio of bulk with two workers on the card to bulk with one."""
    one, two = ('%s | %s' % (BULK, name) for name in ('fp16', 'fp16, 2 workers on one card'))
    if ours is None or two not in ours:
        raise Skip('two workers were not measured')
    return {'one': ours[one], 'two': ours[two], 'ratio': round(ours[two] / ours[one], 3)}


def run(report: Report, measurements: Measurements) -> None:
    sizes = measurements.sizes
    ours = report.step('BERT-Base in each precision', lambda: measurements.speeds('base', sizes.precisions), needs_s=1)
    peer = report.step('sentence-transformers', lambda: measurements.peer('base'), needs_s=15)
    report.step('bulk is at least that of sentence-transformers', lambda: compare_with_peer(ours, peer))
    report.step('two workers on one card', lambda: compare_workers(ours))
    needs_s = 1.0 if measurements.rehearse else 30.0
    for names in (('client_batch_size', 'num_client'), ('max_seq_len',), ('max_batch_size',), ('pooling_layer',)):
        experiments = plan_experiments(names, sizes.grid)
        measure = _bind(measurements.tables_of, 'base', experiments, {'fp16': True}) if experiments else _skip
        report.step('table ' + ' and '.join(names), measure, needs_s)
    report.step('table max_batch_tokens', lambda: measurements.budgets('base'), needs_s)
    report.step('table batching', lambda: measurements.batching('base'), needs_s)
    for model in ('mini', 'large'):
        if measurements.rehearse:
            report.step(model, _skip)
        else:
            precisions = ['float32', 'fp16', 'fp16 xla']
            report.step(model, _bind(measurements.speeds, model, precisions), needs_s=40)


def _bind(function: Callable[..., Facts], *arguments: Any) -> Callable[[], Facts]:
    return lambda: function(*arguments)


def _skip() -> Facts:
    raise Skip('a rehearsal')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-rehearse', '--rehearse', action='store_true', help='on a CPU, with a tiny model')
    parser.add_argument('-few', '--few', action='store_true', help='few cells, on servers without TensorFlow')
    parser.add_argument('-folder', type=Path, help='for models, exports and logs; kept')
    parser.add_argument('-output', type=Path, help='the report, written after each step')
    parser.add_argument('-within_s', type=float, default=WITHIN_S, help='seconds after which no step continues')
    args = parser.parse_args()
    if args.few and not args.rehearse:
        parser.error('-few is for a rehearsal: add -rehearse')
    if args.few:
        os.environ.update({SECONDS: '0.001', FLOATS: '8'})
    about = {'rehearsal': args.rehearse, 'card': servers.describe_card(), 'cores': len(os.sched_getaffinity(0))}
    report = Report('measure', about, args.within_s, args.output)
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='bert-serving-gpu-')))
        folder.mkdir(parents=True, exist_ok=True)
        measurements = Measurements(args, folder, report)
        run(report, measurements)
        report.about['tables'] = measurements.tables
    sys.exit(report.finish())


if __name__ == '__main__':
    main()
