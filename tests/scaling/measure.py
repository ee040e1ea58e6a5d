#!/usr/bin/env python3
"""How many GPUs can one server feed? The ventilator and the sink under workers that compute nothing; docs/scaling.md.

    python tests/scaling/measure.py                                        all workers and clients of issue and docs
    python tests/scaling/measure.py -workers 8 -clients 16 -rows 256       one cell

A run of a worker takes `-ms` milliseconds, whatever its rows, of which it takes at most `-batch`. Linear is what so
many devices would do if they never waited for anything; `of the first` compares with the first number of workers
instead, each as fast as it was there. Prints a Markdown table; the last four columns are cores in use while the clock
ran.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path

TESTS = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, TESTS)

import psutil  # noqa: E402

from bert_serving.server.options.settings import Settings  # noqa: E402
from bert_serving.server.parent.server_process import ServerProcess  # noqa: E402
from scaling.scaling_worker import FLOATS, SECONDS  # noqa: E402
from scaling.swarm import Swarm  # noqa: E402
from support.serving import SMALL_MODEL  # noqa: E402

MOST_ROWS = 4096
HEAD = (
    'workers|clients|rows|requests/s|rows/s|MB/s|of linear|of the first|ventilator|sink|all workers|all clients'
).split('|')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-workers', type=int, nargs='+', default=[1, 2, 4, 8, 16])
    parser.add_argument('-clients', type=int, nargs='+', default=[1, 16, 64, 256])
    parser.add_argument(
        '-rows',
        type=int,
        nargs='+',
        help='rows of a request (default: 256, but no more than %d of all clients)' % MOST_ROWS,
    )
    parser.add_argument('-batch', type=int, default=32, help='most rows of a run')
    parser.add_argument('-ms', type=float, default=20.0, help='milliseconds of a run')
    parser.add_argument('-floats', type=int, default=768, help='floats of the answer to a row')
    parser.add_argument(
        '-seconds',
        type=float,
        default=3.0,
        help='seconds of a measurement, after a round of all clients that is not counted',
    )
    args = parser.parse_args()
    os.environ['PYTHONPATH'] = os.pathsep.join([TESTS, *filter(None, [os.environ.get('PYTHONPATH')])])
    os.environ[SECONDS], os.environ[FLOATS] = str(args.ms / 1000), str(args.floats)
    firsts: dict[tuple[int, int], float] = {}
    for line in (HEAD, ['---'] * len(HEAD)):
        print('| %s |' % ' | '.join(line), flush=True)
    with tempfile.TemporaryDirectory(prefix='bert-serving-scaling-') as folder:
        for workers in args.workers:
            settings = Settings(
                model_dir=SMALL_MODEL,
                port=0,
                port_out=0,
                cpu=True,
                num_worker=workers,
                max_seq_len=40,
                max_batch_size=args.batch,
            )
            with ServerProcess(
                settings, os.path.join(folder, 'log'), ready_within_s=120, module='scaling.scaling_server'
            ) as server:
                for clients in args.clients:
                    for rows in args.rows or [min(256, MOST_ROWS // clients)]:
                        print(measure(server, args, workers, clients, rows, firsts), flush=True)


def measure(
    server: ServerProcess,
    args: argparse.Namespace,
    workers: int,
    clients: int,
    rows: int,
    firsts: dict[tuple[int, int], float],
) -> str:
    """One line of the table. `firsts` keeps the rows a second of one worker in the first line of its kind."""
    linear = workers * args.batch / (args.ms / 1000)
    rounds = max(2, math.ceil(args.seconds * min(linear / (clients * rows), 1000 / args.ms)))  # or a run at a time
    processes = find_processes(server)
    with Swarm(server.address, clients, rows) as swarm:
        swarm.run(rounds=1)
        before = {name: cpu_seconds(those) for name, those in processes.items()}
        tally = swarm.run(rounds)
        cores = {name: (cpu_seconds(those) - before[name]) / tally.seconds for name, those in processes.items()}
    speed = tally.rows / tally.seconds
    cells = [
        '%d' % workers,
        '%d' % clients,
        '%d' % rows,
        '%.0f' % (tally.requests / tally.seconds),
        '%.0f' % speed,
        '%.1f' % (tally.bytes / 1e6 / tally.seconds),
        '%.3f' % (speed / linear),
        '%.3f' % (speed / workers / firsts.setdefault((clients, rows), speed / workers)),
    ]
    cells += ['%.2f' % cores[name] for name in ('ventilator', 'sink', 'workers', 'clients')]
    return '| %s |' % ' | '.join(cells)


def find_processes(server: ServerProcess) -> dict[str, list[psutil.Process]]:
    """The processes of the server by what they do, and this one."""
    ventilator = psutil.Process(server.pid)
    children = {child: child.cmdline()[-1] for child in ventilator.children()}
    return {
        'ventilator': [ventilator],
        'sink': [child for child, module in children.items() if module.endswith('sink')],
        'workers': [child for child, module in children.items() if module.endswith('worker')],
        'clients': [psutil.Process()],
    }


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """What they have used of the processors so far, all threads together."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


if __name__ == '__main__':
    main()
