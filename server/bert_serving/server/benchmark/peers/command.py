"""Run `bert-serving-benchmark -peers`: start our servers and the peers, measure, and write the report."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ...console.streams import say
from ...errors import ServingError
from ...model.folder import find_model
from ...options.engines import ONNX_RUNTIME, TENSORFLOW, describe_engine, product_type
from ...options.settings import OPTIONS, Settings
from ...parent.server_process import ServerProcess
from ...release import RELEASE
from ...security.client_keys import ClientKeys
from ...worker.cpu_flags import read_flags
from ..load import parse_address
from ..machine import describe_processor
from ..plan import PRECISION_FLAGS, Options
from ..report_files import facts_of, make_log, write_report
from ..sentences import WORDS, make_sentences, read_vocabulary
from ..servers import can_serve, served_model, wait_for
from .catalog import Choice, choose
from .folder import prepare_folder, read_pooling
from .infinity import InfinityProcess
from .measure import FAILURES, Measured, OurServer, Participant, compare_vectors, describe_failure, measure
from .processes import LibraryProcess, find_versions, isa_of
from .tables import EXACT_ROWS, Line, Task, make_json, make_report, plan_tasks
from .units import complete_unit, describe_units, onnx_quantization, units_of

MODEL = 'model'
"""The name of the model's folder in the temporary one."""

CALIBRATION_ROWS = 256
"""The sentences with which a peer may calibrate its int8 model."""

NOTES = (
    'A ratio is our value divided by that of the line, for milliseconds too. All read the same folder, get the same '
    'sentences in turn, and stay in memory while the others work. The cosines compare %d vectors with those of the '
    'first line.' % EXACT_ROWS,
    'A library has no queue that batches requests across callers. So several clients of a library are threads of its '
    'process, which take turns and send no messages. The clients of servers are threads of the command.',
)


def run_peers(args: argparse.Namespace, server_module: str) -> int:
    """Run the benchmark for `args`, from `helper.get_benchmark_parser`, and return the number of failed cells.

    Raises:
        UsageError, ModelError: nothing was started.
        StartError: the server of `-against` does not answer.
    """
    flags = read_flags()
    keys = ClientKeys.from_args(args)
    other = parse_address(args.against)._replace(keys=keys) if args.against else None
    choices, missing = choose(args.test_peers, find_versions(args.peers_python or [sys.executable]))
    vocabulary = read_vocabulary(args.client_vocab_file) if args.client_vocab_file else WORDS
    tasks = plan_tasks(args.test_rows)
    with contextlib.ExitStack() as stack:
        settings, temp_dirs = stack.enter_context(served_model(args))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='bert-serving-peers-')))
        model = find_model(settings.model_dir, settings.tuned_model_dir, settings.ckpt_name, settings.config_name)
        (work / MODEL).mkdir()
        prepare_folder(model, work / MODEL, settings.max_seq_len)
        settings = replace(settings, model_dir=str(work / MODEL), cpu=True, num_worker=(args.test_num_worker or [1])[0])
        log = make_log(args.output_dir)

        def start(options: Options) -> ServerProcess:
            temporary = [*temp_dirs, str(work)]
            return ServerProcess(
                replace(settings, **options), log, args.wait_till_ready, temporary, server_module, keys
            )

        lineup = Lineup(stack, flags, args.wait_till_ready)
        for options in our_options(settings, flags):
            lineup.start_server(replace(settings, **options), start(options))
        if other is not None:
            wait_for(other, args.wait_till_ready)
            lineup.add(Line(args.against), OurServer(other))
        peers_log = stack.enter_context(open(os.path.join(args.output_dir, 'peers.log'), 'wb', buffering=0))
        sentences = make_sentences(max(EXACT_ROWS, args.test_rows), vocabulary=vocabulary)
        request = {
            'folder': str(work / MODEL),
            'work': str(work),
            'texts': sentences[:CALIBRATION_ROWS],
            'quantization': onnx_quantization(flags),
            'dimensions': model.config.hidden_size,
            **read_pooling(work / MODEL),
        }
        for choice in choices:
            lineup.start_peer(choice, request, peers_log)
        compare_vectors(lineup.participants, sentences)
        working = [participant for participant in lineup.participants if participant.line.failure is None]
        measure(working, tasks, vocabulary, args.num_repeat, _show)
    _report(args, flags, tasks, lineup.lines, missing)
    return sum(line.number_of_failures(tasks) for line in lineup.lines)


def our_options(settings: Settings, flags: Set[str]) -> Iterator[Options]:
    """The engines and types of our servers: those that are installed, and that the processor has units for."""
    none = {flag: False for flag in PRECISION_FLAGS if flag in OPTIONS}
    kinds: list[Options] = [{'engine': TENSORFLOW}]
    if {'AVX512-BF16', 'AMX-BF16'}.intersection(units_of(flags)):
        kinds.append({'engine': TENSORFLOW, 'bf16': True})
    kinds += [{'engine': ONNX_RUNTIME}, {'engine': ONNX_RUNTIME, 'int8': True}]
    for kind in kinds:
        if can_serve(settings, {**none, **kind}):
            yield {**none, **kind}


class Lineup:
    """The servers and libraries to measure. Their processes run until `stack` is closed."""

    def __init__(self, stack: contextlib.ExitStack, flags: Set[str], ready_within_s: float) -> None:
        self._stack = stack
        self._flags = flags
        self._ready_within_s = ready_within_s
        self.lines: list[Line] = []
        self.participants: list[Participant] = []

    def add(self, line: Line, measured: Measured) -> None:
        """Add a participant that is ready."""
        self.lines.append(line)
        self.participants.append(Participant(line, measured))

    def start_server(self, settings: Settings, server: ServerProcess) -> None:
        """Start one of our servers. If it does not start, only its line fails."""
        line = Line('ours, %s' % describe_engine(settings), is_ours=True)
        line.versions = _our_versions(settings.engine)
        _show('%s: starting' % line.title)
        isa = isa_of(sys.executable, TENSORFLOW) if settings.engine == TENSORFLOW else None
        line.unit = complete_unit(isa or '', product_type(settings), self._flags)
        try:
            self.add(line, OurServer(self._stack.enter_context(server).address))
        except ServingError as error:
            line.failure = error.message
            self.lines.append(line)

    def start_peer(self, choice: Choice, request: Mapping[str, Any], log: IO[bytes]) -> None:
        """Start a peer. If it cannot serve the model, only its line fails."""
        peer = choice.peer
        line = Line(peer.title, versions=choice.describe_versions())
        _show('%s: starting' % line.title)
        unit = ''
        try:
            with contextlib.ExitStack() as own:
                measured: Measured
                if peer.is_server:
                    unit = isa_of(choice.python, peer.engine) or ''
                    measured = InfinityProcess(choice.python, request['folder'], log, self._ready_within_s)
                    own.enter_context(measured)
                else:
                    measured = own.enter_context(LibraryProcess(choice.python, log))
                    about = {'do': 'load', 'loader': peer.name.removesuffix('-int8'), 'int8': peer.kind == 'int8'}
                    unit = measured.ask({**request, **about}, self._ready_within_s)['unit']
                self._stack.push(own.pop_all())
        except FAILURES as error:
            line.failure = describe_failure(error)
            self.lines.append(line)
            return
        line.unit = complete_unit(unit, peer.kind, self._flags)
        self.add(line, measured)


def _our_versions(engine: str) -> str:
    versions = ['bert-serving-server ' + RELEASE]
    for name in ('onnxruntime',) if engine == ONNX_RUNTIME else ('tensorflow-cpu', 'tensorflow'):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append('%s %s' % (name, importlib.metadata.version(name)))
    return ', '.join(versions)


def _show(text: str) -> None:
    say(text, sys.stderr)


def _report(
    args: argparse.Namespace, flags: Set[str], tasks: Sequence[Task], lines: Sequence[Line], missing: Sequence[str]
) -> None:
    """Write `report.md` and `results.json` to the output folder, and print the report."""
    facts = facts_of(args, processor='%s, %s' % (describe_processor(), describe_units(flags)))
    report = make_report(facts, tasks, lines, missing, NOTES)
    write_report(args.output_dir, report, make_json(facts, tasks, lines, missing))
