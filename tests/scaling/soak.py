#!/usr/bin/env python3
"""Does a long load make the processes grow? The memory of each, minute by minute; docs/scaling.md, docs/reliability.md.

    python tests/scaling/soak.py -minutes 10                              the embedded default model at full load
    python tests/scaling/soak.py -minutes 10 -kill_every 10 -num_worker 2 a worker or the sink is killed every 10 s

Other options are those of bert-serving-start. Clients with requests of 1 to 512 rows keep the server busy; every answer
has to have as many rows as its request. Prints a Markdown table of resident MB by minute, and the growth of each from
the second minute to the last.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter

import psutil

from bert_serving.server.benchmark.load import connect
from bert_serving.server.benchmark.sentences import make_sentences
from bert_serving.server.helper import get_args_parser
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.server_process import ServerProcess

MINUTE_S = 60.0
SIZES = (1, 1, 1, 3, 16, 40, 64, 256, 512)


class Load:
    """Clients in threads, each asking again as soon as it is answered, until `stop`."""

    def __init__(self, server: ServerProcess, clients: int) -> None:
        self._server = server
        self._stopped = threading.Event()
        self._sentences = make_sentences(5000)
        self.counts: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        dice = random.Random(seed)
        with connect(self._server.address) as client:
            while not self._stopped.is_set():
                rows = dice.choice(SIZES)
                try:
                    answer = client.encode(dice.sample(self._sentences, rows))
                except Exception as error:
                    self.counts['error: %s' % error] += 1
                    continue
                self.counts['requests'] += 1
                self.counts['rows'] += rows
                self.counts['wrong'] += len(answer) != rows


def main() -> None:
    parser = get_args_parser()
    parser.add_argument('-minutes', type=int, default=10)
    parser.add_argument('-clients', type=int, default=16)
    parser.add_argument('-kill_every', type=float, help='seconds')
    args = parser.parse_args([*sys.argv[1:], '-cpu', '-port', '0', '-port_out', '0'])
    settings = Settings.from_args(args)
    samples: list[dict[str, float]] = []
    with (
        tempfile.TemporaryDirectory(prefix='bert-serving-soak-') as folder,
        ServerProcess(settings, os.path.join(folder, 'log'), ready_within_s=300) as server,
    ):
        samples.append(memory(server))
        load = Load(server, args.clients)
        try:
            for _ in range(args.minutes):
                pass_a_minute(server, args.kill_every)
                samples.append(memory(server))
        finally:
            load.stop()
    print(make_table(samples))
    print(', '.join('%s %d' % item for item in sorted(load.counts.items())))


def pass_a_minute(server: ServerProcess, kill_every: float | None) -> None:
    """So that at the end nobody was killed just now, and all are there to be measured."""
    end = time.monotonic() + MINUTE_S
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, kill_every or left))
        if kill_every and end - time.monotonic() > kill_every / 2:
            children = [child for name, child in processes(server).items() if name != 'ventilator']
            random.choice(children).kill()


def processes(server: ServerProcess) -> dict[str, psutil.Process]:
    """The server's processes by name; workers in the order of their start."""
    ventilator = psutil.Process(server.pid)
    found = {'ventilator': ventilator}
    for child in ventilator.children():
        try:
            module = child.cmdline()[-1].rpartition('.')[2]
        except psutil.NoSuchProcess:  # killed, and not yet reaped
            continue
        name = module
        while name in found:
            name = '%s %d' % (module, 1 + sum(known.startswith(module) for known in found))
        found[name] = child
    return found


def memory(server: ServerProcess) -> dict[str, float]:
    """Resident MB by process."""
    return {name: process.memory_info().rss / 1e6 for name, process in processes(server).items()}


def make_table(samples: list[dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    lines = ['| minute | %s |' % ' | '.join(names), '|---|%s' % ('---:|' * len(names))]
    lines += [
        '| %d | %s |' % (minute, ' | '.join('%.1f' % sample.get(name, float('nan')) for name in names))
        for minute, sample in enumerate(samples)
    ]
    if len(samples) > 3:
        growth = ['%+.1f %%' % (100 * (samples[-1].get(n, 0) / samples[2].get(n, 1) - 1)) for n in names]
        lines.append('| growth from the 2nd | %s |' % ' | '.join(growth))
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
