"""The cost of keys: bulk, and 32 clients with single rows, with and without CURVE, in turn.

    python tests/scaling/keys.py -rounds 5

Two servers with fake workers run at once, one with keys; each round measures both, so that both meet the same machine.
Then one server with three principals: how long one that sends single rows waits next to one with 100,000 rows and one
with 3,000 single rows.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.helper import get_args_parser
from support.keyring import Keyring
from support.serving import SMALL_MODEL, FakeServer, fake_path

BULK_ROWS = 20_000
CLIENTS = 32
SECONDS = 2.0
SAMPLES = 100
BATCH_S = '0.05'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-rounds', type=int, default=5)
    args = parser.parse_args()
    os.environ['PYTHONPATH'] = fake_path()
    with tempfile.TemporaryDirectory() as folder:
        keys = Keyring(Path(folder), 'alice', 'bob', 'carol')
        cost(keys, args.rounds)
        os.environ['FAKE_WORKER_SECONDS'] = BATCH_S
        fairness(keys)


def start(*words: str) -> BertServer:
    common = ['-cpu', '-model_dir', SMALL_MODEL, '-port', '0', '-port_out', '0', '-host', '127.0.0.1']
    return FakeServer(get_args_parser().parse_args([*common, *words]))


def connect(server: BertServer, keys: dict[str, str]) -> BertClient:
    options: dict[str, Any] = keys or {'server_key': '', 'key_file': ''}
    return BertClient('127.0.0.1', server.port, server.port_out, check_length=False, timeout=120_000, **options)


def cost(keys: Keyring, rounds: int) -> None:
    """Print rows a second, and the time of a single row."""
    with start() as plain, start(*keys.words) as guarded:
        kinds = {'without keys': (plain, {}), 'with keys': (guarded, keys.of('alice'))}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, (server, options) in kinds.items():
                found[name].append((bulk(server, options), *single_rows(server, options)))
    for name, figures in found.items():
        best = [statistics.median(column) for column in zip(*figures, strict=True)]
        print('%-13s bulk %6.0f rows/s, %d x 1 %5.0f rows/s, median %.1f ms' % (name, best[0], CLIENTS, *best[1:]))


def bulk(server: BertServer, options: dict[str, str]) -> float:
    texts = ['the text number %d' % number for number in range(BULK_ROWS)]
    with connect(server, options) as client:
        client.encode(['a'])
        started = time.perf_counter()
        client.encode(texts)
        return BULK_ROWS / (time.perf_counter() - started)


def single_rows(server: BertServer, options: dict[str, str]) -> tuple[float, float]:
    taken: list[float] = []
    begin = threading.Barrier(CLIENTS)

    def ask() -> None:
        with connect(server, options) as client:
            client.encode(['a'])
            begin.wait()
            end = time.perf_counter() + SECONDS
            while (started := time.perf_counter()) < end:
                client.encode(['a'])
                taken.append(time.perf_counter() - started)

    run_all([ask] * CLIENTS)
    return len(taken) / SECONDS, 1000 * statistics.median(taken)


def fairness(keys: Keyring) -> None:
    """Print the median of a principal's single rows, alone and next to two others."""
    with start(*keys.words) as server, connect(server, keys.of('alice')) as alice:

        def median() -> float:
            taken = []
            for _ in range(SAMPLES):
                started = time.perf_counter()
                alice.encode(['a'])
                taken.append(time.perf_counter() - started)
            return 1000 * statistics.median(taken)

        alone = median()
        with connect(server, keys.of('bob')) as bob, connect(server, keys.of('carol')) as carol:
            threads = [
                threading.Thread(
                    target=encode_until_closed, args=(bob, ['the text %d' % row for row in range(100_000)])
                ),
                threading.Thread(target=lambda: [carol.encode(['a'], blocking=False) for _ in range(3000)]),
            ]
            for thread in threads:
                thread.daemon = True
                thread.start()
            time.sleep(1)
            print('single rows: median %.0f ms alone, %.0f ms next to two others' % (alone, median()))
            server.request_stop()


def encode_until_closed(client: BertClient, texts: list[str]) -> None:
    with contextlib.suppress(RuntimeError):  # the measurement ends before the request does
        client.encode(texts)


def run_all(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == '__main__':
    main()
