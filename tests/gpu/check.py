#!/usr/bin/env python3
"""Does the server work correctly on a GPU? Prints one JSON object; the log goes to standard error. See README.md.

    python tests/gpu/check.py -output check.json               on a GPU, in less than 4 minutes
    python tests/gpu/check.py -fill -folder /tmp/models        compile kernels and write models; judges nothing
    python tests/gpu/check.py -rehearse                        on a CPU, with tiny models
    python tests/gpu/check.py -rehearse -few                   in seconds: few cases, servers without TensorFlow

A process for each precision answers the golden and the published cases, all at the same time. Then servers show that
two workers share a card, that a GPU and the CPU share the work, that a killed worker loses no request, and that a
worker computes a batch in halves if it lacks memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu import servers

servers.prepare_paths()

from bert_serving.client import BertClient  # noqa: E402
from bert_serving.server.benchmark.random_model import SHAPES, write_model  # noqa: E402
from bert_serving.server.benchmark.sentences import make_sentences  # noqa: E402
from bert_serving.server.parent.devices import plan_devices  # noqa: E402
from gpu.answers import LEAST_COSINES, MODES, compare, write_random_model  # noqa: E402
from gpu.report import Facts, Report, Skip  # noqa: E402
from support.serving import SMALL_MODEL, ServerProcess, connect, fake_path  # noqa: E402
from support.waiting import wait_until  # noqa: E402

ANSWERS = str(Path(__file__).with_name('answers.py'))
WITHIN_S = 235.0

FRACTION = 0.1
"""The fraction of the card's memory for each of two workers."""

CONTEXT_MIB = 1500
"""The maximum memory of a process on the card in addition to its fraction: code, and the workspace of cuBLAS."""

CRAMPED_MIB = 3800
"""Too little for 256 rows of 512 tokens at once, whose scores are 3,072 MiB and needed twice; enough for 64."""

SEE = """
import json, tensorflow as tf
cards = tf.config.list_physical_devices('GPU')
about = {'tensorflow': tf.__version__, 'cards': [tf.config.experimental.get_device_details(card) for card in cards]}
if cards:
    with tf.device('/GPU:0'):
        one = tf.ones((2048, 2048), tf.bfloat16)
        about['sum'] = float(tf.reduce_sum(tf.cast(tf.matmul(one, one), tf.float32)))
build = tf.sysconfig.get_build_info()
about['cuda'] = {key: str(build[key]) for key in ('cuda_version', 'cudnn_version', 'cuda_compute_capabilities') if key in build}
print(json.dumps(about, default=str))
"""


class Checks:
    """The steps, and their shared servers."""

    def __init__(self, args: argparse.Namespace, folder: Path, resources: contextlib.ExitStack) -> None:
        self.rehearse: bool = args.rehearse
        self.few: bool = args.few
        self.folder = folder
        self._resources = resources

    # ---- the card

    def see_card(self) -> Facts:
        """TensorFlow sees the card and multiplies on it."""
        if self.few:
            raise Skip('a rehearsal with few cases does not import all of TensorFlow')
        done = subprocess.run([sys.executable, '-c', SEE], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-600:])
        facts: Facts = json.loads(done.stdout.splitlines()[-1])
        if not facts['cards']:
            if self.rehearse:
                raise Skip('a CPU: TensorFlow %s sees no card, as expected' % facts['tensorflow'])
            raise RuntimeError('TensorFlow sees no card: %s' % done.stderr[-600:])
        if facts['sum'] != 2048.0**3:
            raise RuntimeError('a product of ones has the sum %s' % facts['sum'])
        return facts

    def find_card(self) -> Facts:
        """The server finds the card with GPUtil. Otherwise all workers would run on the CPU."""
        plan = plan_devices(2, cpu=False, device_map=(0, 0))
        if plan.devices != (0, 0):
            if self.rehearse:
                raise Skip('a CPU: %s' % ' '.join(plan.warnings))
            raise RuntimeError('the workers would get the devices %s: %s' % (plan.devices, ' '.join(plan.warnings)))
        return {'devices': plan.devices, 'warnings': plan.warnings}

    # ---- the answers of graphs

    def start_answers(self, most: int, seconds: float) -> dict[str, subprocess.Popen[str]]:
        """Start a process for each mode, and one for the CPU. A rehearsal with few cases has one for all modes."""
        model = write_random_model(self.folder, self.rehearse)
        if self.few:
            runs: dict[str, list[str]] = {'few': ['float32', 'fp16', 'bf16']}
        else:
            runs = {'cpu': ['cpu']}
            for mode in MODES:
                runs[mode] = [mode]
                runs[mode + '-xla'] = [mode, '-xla']
            del runs['tf32-xla']
            runs['fp16-packs'] = ['fp16', '-packs']
        options = ['-model', model, '-folder', str(self.folder), '-most', str(most), '-seconds', str(seconds)]
        options += ['-rehearse'] if self.rehearse else []
        started = {}
        for name, words in runs.items():
            if self.rehearse and started:  # two cores are too few for all at once
                list(started.values())[-1].wait()
            log = self._resources.enter_context((self.folder / (name + '.log')).open('w'))
            process = subprocess.Popen([sys.executable, ANSWERS, *words, *options], stdout=log, stderr=log, text=True)
            self._resources.callback(_end, process)
            started[name] = process
        return started

    def judge_answers(self, name: str, process: subprocess.Popen[str], within_s: float) -> Facts:
        """Judge the results of a process of one mode, and compare the random model's answers with the CPU's."""
        mode = name.partition('-')[0]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(1, within_s))
        if process.poll() is None:
            raise RuntimeError('it did not end in time: %s' % self.end_of_log(name))
        path = self.folder / (name + '.json')
        if process.returncode or not path.exists():
            raise RuntimeError('exit code %s: %s' % (process.returncode, self.end_of_log(name)))
        facts: Facts = json.loads(path.read_text('utf-8'))
        if facts['failures']:
            raise RuntimeError('%d of %d cases: %s' % (len(facts['failures']), facts['judged'], facts['failures']))
        expected = self.folder / 'cpu.npy'
        if expected.exists():
            answer = np.load(self.folder / (name + '.npy'))
            near = _look(mode, answer, np.load(expected))
            facts['random_model'] = near
        elif not self.few:
            raise RuntimeError('the CPU has not answered: %s' % self.end_of_log('cpu'))
        return facts

    def end_of_log(self, name: str) -> str:
        path = self.folder / (name + '.log')
        return path.read_text('utf-8', 'replace')[-600:] if path.exists() else 'no log'

    # ---- servers

    def server(self, *words: str, model: str, environment: dict[str, str] | None = None) -> ServerProcess:
        """Start a server: on the card, in a rehearsal on the CPU, and for few cases with a fake encoder."""
        environment, module = {**(environment or {})}, 'bert_serving.server.cli'
        if self.few:
            environment['PYTHONPATH'] = fake_path()
            module = 'support.fake_cli'
        kind = _OnCpu if self.rehearse else _OnCard
        options = ('-export_cache', str(self.folder / 'exports'), '-model_dir', model, *words)
        return self._resources.enter_context(kind(*options, environment=environment, module=module))

    def client(self, server: ServerProcess) -> BertClient:
        return self._resources.enter_context(connect(server.wait_until_ready(), check_length=False, timeout=120_000))

    def share_card(self, server: ServerProcess, before: int | None) -> Facts:
        """Two workers on one card answer like one worker, and take no more of its memory than their fractions."""
        client = self.client(server)
        texts = make_sentences(32 if self.rehearse else 2048)
        first = client.encode(texts[:16])
        for _ in range(3):
            _expect_near(client.encode(texts)[:16], first)
        workers = client.server_config['workers']
        facts: Facts = {'devices': [worker['device'] for worker in workers]}
        if not self.rehearse and facts['devices'] != [0, 0]:
            raise RuntimeError('the devices are %s' % facts['devices'])
        card, used = servers.describe_card(), servers.used_memory_mib()
        if card and used is not None and before is not None:
            most = 2 * (FRACTION * int(card['memory.total']) + CONTEXT_MIB)
            facts.update(used_mib=used - before, most_mib=round(most))
            if used - before > most:
                raise RuntimeError('the workers use %d MiB of the card, at most %d is expected' % (used - before, most))
        return facts

    def kill_worker(self, server: ServerProcess) -> Facts:
        """After a worker is killed, the waiting requests get their answers, and the worker restarts."""
        client = self.client(server)
        texts = make_sentences(16 if self.rehearse else 512)
        expected = client.encode(texts)
        answers: list[Any] = []
        requests = 24

        def ask() -> None:
            with connect(server, check_length=False, timeout=120_000) as mine:
                answers.extend(mine.encode(texts) for _ in range(requests // 4))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: client.server_status['statistic']['in_flight_rows'] > 0 or len(answers) == requests)
        victim = client.server_config['workers'][0]['pid']
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
        for thread in threads:
            thread.join()
        if len(answers) != requests:
            raise RuntimeError('%d of %d requests were answered' % (len(answers), requests))
        for answer in answers:
            _expect_near(answer, expected)
        wait_until(lambda: all(w['state'] == 'ready' for w in client.server_config['workers']), within_s=90)
        statistic = client.server_status['statistic']
        return {
            'requests': requests,
            'back_after_s': round(time.monotonic() - killed_at, 1),
            'restarts': statistic['num_worker_restart'],
            'requeued_jobs': statistic['num_requeued_job'],
        }

    def mix_devices(self, server: ServerProcess) -> Facts:
        """A worker on the card and one on the CPU serve the same model, and their answers are near."""
        client = self.client(server)
        devices = [worker['device'] for worker in client.server_config['workers']]
        if not self.rehearse and devices != [0, -1]:
            raise RuntimeError('the devices are %s' % devices)
        text = make_sentences(1)
        answers = [client.encode(text) for _ in range(32)]  # one at a time, to an idle worker
        for answer in answers:
            _expect_near(answer, answers[0], least=0.999)
        return {'devices': devices, 'different_answers': len({answer.tobytes() for answer in answers})}

    def run_out_of_memory(self, server: ServerProcess) -> Facts:
        """A worker computes a batch that does not fit in halves, and the answers equal those of small batches."""
        client = self.client(server)
        texts = ['the huge ' + text for text in make_sentences(8)] if self.few else make_sentences(256, words=600)
        small = client.encode(texts[:2])
        answer = client.encode(texts)
        _expect_near(answer[:2], small)
        if not np.isfinite(answer).all():
            raise RuntimeError('some values are not finite')
        halves = re.findall(r'out of memory: batch failed, retrying as two halves rows=(\d+)', server.log)
        if not halves:
            raise RuntimeError('no batch ran out of memory')
        restarts = client.server_status['statistic']['num_worker_restart']
        if restarts:
            raise RuntimeError('the worker was restarted %d times' % restarts)
        return {'failed_batches': halves}


class _OnCpu(ServerProcess):
    pass


class _OnCard(ServerProcess):
    always = ('-port', '0', '-port_out', '0')


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _look(mode: str, answer: Any, expected: Any) -> Facts:
    """Compare the random model's answers with the CPU's, by their cosines, because its values grow with its depth."""
    cosines = (answer * expected).sum(1) / np.linalg.norm(answer, axis=1) / np.linalg.norm(expected, axis=1)
    facts = {'cosine': float(cosines.min()), 'apart': float(np.abs(answer - expected).max())}
    if not facts['cosine'] >= LEAST_COSINES[mode]:
        raise RuntimeError('the lowest cosine of the random model is %.6f' % facts['cosine'])
    if mode == 'float32':
        compare(mode, answer, expected)
    return facts


def _expect_near(answer: Any, expected: Any, least: float = 0.9999) -> None:
    one, other = answer.astype(np.float64), expected.astype(np.float64)
    if one.shape != other.shape:
        raise RuntimeError('the shape is %s, expected %s' % (one.shape, other.shape))
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    if not (cosines >= least).all():
        raise RuntimeError('the lowest cosine is %.6f, at least %g is expected' % (cosines.min(), least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-rehearse', '--rehearse', action='store_true', help='on a CPU, with small sizes')
    parser.add_argument('-few', '--few', action='store_true', help='few cases, in seconds; only in a rehearsal')
    parser.add_argument('-fill', action='store_true', help='only compile kernels and write the models')
    parser.add_argument('-folder', type=Path, help='for models, exports and logs; kept')
    parser.add_argument('-output', type=Path, help='the report, written after each step')
    parser.add_argument('-within_s', type=float, default=WITHIN_S, help='seconds after which no step continues')
    args = parser.parse_args()
    if args.few and not args.rehearse:
        parser.error('-few is for a rehearsal: add -rehearse')
    about = {'rehearsal': args.rehearse, 'card': servers.describe_card(), 'cores': len(os.sched_getaffinity(0))}
    report = Report('fill' if args.fill else 'check', about, args.within_s, args.output)
    with tempfile.TemporaryDirectory(prefix='bert-serving-gpu-') as temporary, contextlib.ExitStack() as resources:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        checks = Checks(args, folder, resources)
        (fill if args.fill else check)(report, checks)
    sys.exit(report.finish())


def fill(report: Report, checks: Checks) -> None:
    """Run a few cases and the random model in each mode, so that the driver caches the kernels, and write models."""
    report.step('TensorFlow sees the card', checks.see_card)
    processes: dict[str, subprocess.Popen[str]] = {}

    def start() -> Facts:
        processes.update(checks.start_answers(most=1 if checks.few else 6, seconds=90))
        return {'processes': list(processes)}

    report.step('start a process for each mode', start)
    if not checks.rehearse:
        for name in ('large', 'mini'):
            report.step('write the model ' + name, partial(_write, checks.folder / name, name))
    for name, process in processes.items():
        report.step('fill ' + name, partial(_wait, checks, report, name, process))


def _wait(checks: Checks, report: Report, name: str, process: subprocess.Popen[str]) -> Facts:
    code = process.wait(max(1, report.left_s - 1))
    if code:
        raise RuntimeError('exit code %d: %s' % (code, checks.end_of_log(name)))
    return {}


def _write(path: Path, name: str) -> Facts:
    if not (path / 'config.json').exists():
        path.mkdir()
        write_model(str(path), SHAPES[name])
    return {}


def check(report: Report, checks: Checks) -> None:
    """Run all checks."""
    report.step('TensorFlow sees the card', checks.see_card)
    report.step('the server finds the card', checks.find_card)
    model = _model_for_servers(checks)
    processes: dict[str, subprocess.Popen[str]] = {}
    most = 2 if checks.few else 6 if checks.rehearse else 1000

    def start() -> Facts:
        processes.update(checks.start_answers(most, seconds=min(90, report.left_s / 2)))
        return {'processes': list(processes)}

    report.step('start a process for each mode', start)
    for name, process in processes.items():
        if name == 'few':
            for mode in ('float32', 'fp16', 'bf16'):
                report.step('answers ' + mode, partial(_judge, checks, report, mode, process))
        elif name != 'cpu':
            report.step('answers ' + name, partial(_judge, checks, report, name, process))
    for process in processes.values():
        _end(process)
    _check_servers(report, checks, model)


def _judge(checks: Checks, report: Report, name: str, process: subprocess.Popen[str]) -> Facts:
    """Judge a mode, and leave time for the servers."""
    return checks.judge_answers(name, process, report.left_s - 100)


def _model_for_servers(checks: Checks) -> str:
    if checks.rehearse:
        return SMALL_MODEL
    _write(checks.folder / 'mini', 'mini')
    return str(checks.folder / 'mini')


def _check_servers(report: Report, checks: Checks, model: str) -> None:
    """Run the steps with servers, which start one after another in a rehearsal, and otherwise at the same time."""
    before = servers.used_memory_mib()
    started: dict[str, ServerProcess] = {}
    words: dict[str, Sequence[str]] = {
        'two': ('-num_worker', '2', '-device_map', '0', '0', '-gpu_memory_fraction', str(FRACTION)),
        'mixed': ('-num_worker', '2', '-device_map', '0', '-1'),
    }

    def start(name: str) -> ServerProcess:
        if name not in started:
            started[name] = checks.server(*words[name], '-max_seq_len', '40', model=model)
        return started[name]

    report.step('two workers share the card', lambda: checks.share_card(start('two'), before), needs_s=10)
    if not checks.rehearse:
        start('mixed')
    report.step('a killed worker loses nothing', lambda: checks.kill_worker(start('two')), needs_s=10)
    if 'two' in started:
        started['two'].stop()
    report.step('a card and the CPU share the work', lambda: checks.mix_devices(start('mixed')), needs_s=10)
    if 'mixed' in started:
        started['mixed'].stop()
    report.step('a batch that does not fit is computed in halves', lambda: _run_out(checks, model), needs_s=20)


def _run_out(checks: Checks, model: str) -> Facts:
    if checks.few:
        return checks.run_out_of_memory(checks.server(model=model, environment={'FAKE_WORKER_ROOM_MB': '700'}))
    if checks.rehearse:
        raise Skip('a CPU: no option limits the memory of a worker; -few tries it with a worker that has little')
    total = int(servers.describe_card()['memory.total'])
    words = ('-max_seq_len', '512', '-max_batch_size', '256', '-gpu_memory_fraction', '%.4f' % (CRAMPED_MIB / total))
    return checks.run_out_of_memory(checks.server(*words, model=model))


if __name__ == '__main__':
    main()
