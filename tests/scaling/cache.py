"""The effect of `-cache_rows` on repeated queries.

    python tests/scaling/cache.py [-requests 20000] [-distinct 1000] [-rows 0 100 1000] [-clients 8]

Starts a server of the embedded model for each size of the cache, on the CPU. The requests have one text each, drawn by
Zipf's law from the distinct ones; all servers get the same, in the same order. They are measured in turns, a slice of
the requests at a time, so that a slow phase of the machine slows all. While one is measured, the others are idle. The
seconds of the processor are those of all processes of a server, which other programs on the machine do not change much.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bert_serving.client import BertClient
from bert_serving.server.benchmark.sentences import make_sentences
from support.serving import ServerProcess

SLICE = 500


class Load:
    """Clients of one server, each a thread with one request in flight; and what their requests cost.

    `latencies` has the seconds of each request, `seconds` those of all together, `cpu_seconds` those of the processor.
    """

    def __init__(self, server: ServerProcess, clients: int) -> None:
        parent = psutil.Process(server.process.pid)
        self._processes = [parent, *parent.children(recursive=True)]
        self.reset()
        self._clients = [BertClient(port=server.port, port_out=server.port_out) for _ in range(clients)]

    def reset(self) -> None:
        """Count from zero."""
        self.latencies: list[float] = []
        self.seconds = 0.0
        self._cpu_seconds_before = self._cpu_seconds()

    def _cpu_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    @property
    def cpu_seconds(self) -> float:
        return self._cpu_seconds() - self._cpu_seconds_before

    def send(self, texts: Sequence[str]) -> None:
        """Send a request for each text, and wait for all."""
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for text in texts:
            waiting.put(text)
        threads = [threading.Thread(target=self._work, args=(client, waiting)) for client in self._clients]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds += time.perf_counter() - started

    def _work(self, client: BertClient, waiting: queue.SimpleQueue[str]) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                text = waiting.get_nowait()
                started = time.perf_counter()
                client.encode([text])
                self.latencies.append(time.perf_counter() - started)

    def status(self) -> dict[str, int]:
        return dict(self._clients[0].server_status['statistic'])

    def close(self) -> None:
        for client in self._clients:
            client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('-requests', type=int, default=20_000)
    parser.add_argument('-distinct', type=int, default=1000)
    parser.add_argument('-rows', type=int, nargs='+', default=[0, 100, 1000], help='sizes of the cache')
    parser.add_argument('-clients', type=int, default=8)
    args = parser.parse_args()

    sentences = make_sentences(args.distinct)
    shares = 1 / np.arange(1, args.distinct + 1)
    drawn = np.random.default_rng(1).choice(args.distinct, args.requests, p=shares / shares.sum())
    with contextlib.ExitStack() as stack:
        loads = {}
        for rows in args.rows:
            server = stack.enter_context(ServerProcess('-cache_rows', str(rows))).wait_until_ready()
            loads[rows] = stack.enter_context(contextlib.closing(Load(server, args.clients)))
            loads[rows].send(['warm-up %d' % number for number in range(4 * args.clients)])
            loads[rows].reset()
        for start in range(0, args.requests, SLICE):
            for load in loads.values():
                load.send([sentences[number] for number in drawn[start : start + SLICE]])
        print('%d requests of 1 text, %d distinct, %d clients' % (args.requests, args.distinct, args.clients))
        print(
            '| `-cache_rows` | from the cache | requests/s | p50 | p99 | CPU per request |\n|---|---:|---:|---:|---:|---:|'
        )
        for rows, load in loads.items():
            cuts = statistics.quantiles(load.latencies, n=100)
            cached = load.status()['num_cached_row'] / args.requests
            rate, cost = args.requests / load.seconds, load.cpu_seconds / args.requests
            figures = (rows, 100 * cached, rate, 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * cost)
            print('| %d | %.0f %% | %.0f | %.1f ms | %.1f ms | %.1f ms |' % figures)


if __name__ == '__main__':
    main()
