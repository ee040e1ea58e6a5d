#!/usr/bin/env python3
"""`bert-serving-encode` next to a loop over the plain client: rows/s, memory, kills at random moments; docs/files.md.

    python tests/scaling/files.py -rows 1000000                   workers that compute nothing: -floats numbers a row
    python tests/scaling/files.py -rows 20000 -real               the default model, the sentences of the benchmark
    python tests/scaling/files.py -rows 1000000 -kills 10         killed at ten random moments; are the bytes the same?

The loop asks for 256 rows at a time, one request after another, and writes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, TESTS)

from bert_serving.client import BertClient  # noqa: E402
from bert_serving.server.benchmark.sentences import make_sentences  # noqa: E402
from bert_serving.server.options.settings import Settings  # noqa: E402
from bert_serving.server.parent.address import Address  # noqa: E402
from bert_serving.server.parent.server_process import MODULE, ServerProcess  # noqa: E402
from scaling.scaling_worker import FLOATS, SECONDS  # noqa: E402
from support.serving import SMALL_MODEL  # noqa: E402

LOOP_ROWS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-rows', type=int, default=1_000_000)
    parser.add_argument('-floats', type=int, default=384, help='numbers of a vector, without -real')
    parser.add_argument('-real', action='store_true', help='the default model, on the CPU')
    parser.add_argument('-kills', type=int, default=0, help='how often a second job is killed and started again')
    parser.add_argument('-part_rows', type=int, default=100_000)
    parser.add_argument('-loop_rows', type=int, default=100_000, help='most rows of the loop')
    args = parser.parse_args()
    os.environ['PYTHONPATH'] = os.pathsep.join([TESTS, *filter(None, [os.environ.get('PYTHONPATH')])])
    os.environ[SECONDS], os.environ[FLOATS] = '0', str(args.floats)
    with tempfile.TemporaryDirectory(prefix='bert-serving-files-', dir='/var/tmp') as folder:
        source = Path(folder, 'rows.txt')
        with open(source, 'w', encoding='utf-8') as file:
            if args.real:
                file.writelines(sentence + '\n' for sentence in make_sentences(args.rows))
            else:
                file.writelines('row number %d\n' % number for number in range(args.rows))
        settings = Settings(model_dir=None if args.real else SMALL_MODEL, port=0, port_out=0, cpu=True)
        module = MODULE if args.real else 'scaling.scaling_server'
        with ServerProcess(settings, os.path.join(folder, 'log'), ready_within_s=300, module=module) as server:
            loop(server.address, source, min(args.rows, args.loop_rows))
            command = [sys.executable, '-c', 'from bert_serving.server.cli import encode_main as main; main()']
            command += [str(source), '-server', str(server.address), '-part_rows', str(args.part_rows), '-output']
            whole = Path(folder, 'whole')
            encode([*command, str(whole)])
            if args.kills:
                kill(command, whole, Path(folder, 'killed'), args.kills)


def loop(server: Address, source: Path, rows: int) -> None:
    with open(source, encoding='utf-8') as file:
        texts = [next(file).rstrip('\n') for _ in range(rows)]
    with BertClient(server.host, server.port, server.port_out, check_length=False) as client:
        client.encode(texts[:LOOP_ROWS])
        started = time.monotonic()
        for first in range(0, rows, LOOP_ROWS):
            client.encode(texts[first : first + LOOP_ROWS])
        seconds = time.monotonic() - started
        print('a loop over %d rows: %d rows/s' % (rows, rows / seconds), flush=True)
        started = time.monotonic()
        client.encode(texts)
        print('one encode of %d rows: %d rows/s' % (rows, rows / (time.monotonic() - started)), flush=True)


def encode(command: list[str]) -> None:
    """Run the command to its end, and print its last line and its memory."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    samples: list[tuple[float, float]] = []
    before = cpu_of_children()
    while process.poll() is None:
        with contextlib.suppress(OSError, KeyError):
            samples.append(memory_of(process.pid))
        time.sleep(0.2)
    assert process.stdout is not None
    print('bert-serving-encode: %s' % process.stdout.read().strip(), flush=True)
    print('its CPU: %.1f s' % (cpu_of_children() - before), flush=True)
    for name, values in zip(('all of its memory', 'memory without files'), zip(*samples, strict=True), strict=True):
        tenth = values[len(values) // 10]
        print('%s, MB: %.0f after a tenth of the time, at most %.0f' % (name, tenth, max(values)), flush=True)


def cpu_of_children() -> float:
    """The seconds of CPU of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_of(pid: int) -> tuple[float, float]:
    """The resident memory of a process, and that of it which is not of files, in MB."""
    with open('/proc/%d/status' % pid, encoding='ascii') as file:
        lines = dict(line.split(':', 1) for line in file)
    return int(lines['VmRSS'].split()[0]) / 1024, int(lines['RssAnon'].split()[0]) / 1024


def kill(command: list[str], whole: Path, folder: Path, kills: int) -> None:
    """Kill a second job at random moments; compare what it writes in the end."""
    dice = random.Random(17)
    started = time.monotonic()
    for _ in range(kills):
        process = subprocess.Popen([*command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(dice.uniform(0.5, 12))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        print('killed: %d parts' % len(list(folder.glob('part-*'))), flush=True)
    encode([*command, str(folder)])
    names = sorted(path.name for path in whole.glob('part-*'))
    same = names == sorted(path.name for path in folder.glob('part-*'))
    same = same and filecmp.cmpfiles(whole, folder, names, shallow=False)[0] == names
    print('%d kills in %.0f s; the same bytes: %s' % (kills, time.monotonic() - started, same), flush=True)
    shutil.rmtree(folder)


if __name__ == '__main__':
    main()
