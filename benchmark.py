#!/usr/bin/env python3
"""How fast is a server that speaks bert-as-service's protocol? Ours, or the real 1.10.0.

    python benchmark.py -port 5555 -port_out 5556                        one running server
    python benchmark.py -port 5555 -port_out 5556 -against 7777,7778     two in turn, and their ratio

Three numbers, each the median of several repeats after one that is not counted: sentences a second in bulk, milliseconds of one
sentence alone, and sentences a second of 32 clients that send one sentence at a time. The servers share the machine with this
program and with each other, so they are asked in turn, and ratios mean more than absolute figures.
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable

from bert_serving.client import BertClient

WORDS = (
    'the of and a to in is you that it he was for on are as with his they I at be this have from or one had by word but not what '
    'all were we when your can said there use an each which she do how their if will up other about out many then them these so '
    'some her would make like him into time has look two more write go see number no way could people my than first water been '
    'call who oil its now find long down day did get come made may part over new sound take only little work know place year'
).split()
CLIENTS = 32


def make_sentences(number: int, seed: int = 1) -> list[str]:
    """English-looking sentences of 3 to 40 words, 18 on average."""
    dice = random.Random(seed)
    lengths = (min(40, max(3, round(dice.gauss(18, 8)))) for _ in range(number))
    return [' '.join(dice.choices(WORDS, k=length)) for length in lengths]


def connect(ports: tuple[int, int]) -> BertClient:
    return BertClient(port=ports[0], port_out=ports[1], check_length=False, timeout=600_000)


def measure_bulk(ports: tuple[int, int], rows: int) -> float:
    """Sentences a second of one request of so many rows."""
    sentences = make_sentences(rows)
    with connect(ports) as client:
        started = time.perf_counter()
        client.encode(sentences)
        return rows / (time.perf_counter() - started)


def measure_one(ports: tuple[int, int], times: int) -> float:
    """Milliseconds of one sentence, the median of so many."""
    with connect(ports) as client:
        latencies = []
        for sentence in make_sentences(times, seed=2):
            started = time.perf_counter()
            client.encode([sentence])
            latencies.append(time.perf_counter() - started)
        return 1000 * statistics.median(latencies)


def measure_many(ports: tuple[int, int], times: int) -> float:
    """Sentences a second of `CLIENTS` clients that each send one sentence so many times."""
    clients = [connect(ports) for _ in range(CLIENTS)]
    start = threading.Barrier(CLIENTS + 1)

    def run(client: BertClient, seed: int) -> None:
        sentences = make_sentences(times, seed)
        start.wait()
        for sentence in sentences:
            client.encode([sentence])

    threads = [threading.Thread(target=run, args=(client, seed)) for seed, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return CLIENTS * times / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-port', type=int, default=5555)
    parser.add_argument('-port_out', type=int, default=5556)
    parser.add_argument('-against', metavar='PORT,PORT_OUT', help='a second server, asked in turn with the first')
    parser.add_argument('-rows', type=int, default=1024, help='rows of the bulk request (default: 1024)')
    parser.add_argument('-times', type=int, default=20, help='sentences of each single client (default: 20)')
    parser.add_argument('-num_repeat', type=int, default=3, help='repeats that count (default: 3)')
    args = parser.parse_args()
    servers = [(args.port, args.port_out)]
    if args.against:
        port, port_out = args.against.split(',')
        servers.append((int(port), int(port_out)))
    experiments: list[tuple[str, Callable[[tuple[int, int]], float]]] = [
        ('bulk, sentences/s', lambda ports: measure_bulk(ports, args.rows)),
        ('one sentence, ms', lambda ports: measure_one(ports, args.times)),
        ('%d clients x 1, sentences/s' % CLIENTS, lambda ports: measure_many(ports, args.times)),
    ]
    print('| | %s |' % ' | '.join('port %d' % port for port, _ in servers) + (' ratio |' if args.against else ''))
    print('|---' * (len(servers) + 1 + bool(args.against)) + '|')
    for name, measure in experiments:
        runs = [[measure(ports) for ports in servers] for _ in range(args.num_repeat + 1)][1:]
        medians = [statistics.median(run[index] for run in runs) for index in range(len(servers))]
        cells = ['%.1f' % median for median in medians]
        if args.against:
            cells.append('%.2f' % statistics.median(run[0] / run[1] for run in runs))
        print('| %s | %s |' % (name, ' | '.join(cells)), flush=True)


if __name__ == '__main__':
    main()
