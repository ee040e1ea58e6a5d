"""How the HTTP face does under load, against ZeroMQ where the two do the same work.

    python tests/scaling/http_load.py [steady] [overload] [single] [bulk] [-seconds 60] [-fake] [-options ...]

Each experiment starts a server of its own on the CPU, with the embedded model; `-fake` has workers without TensorFlow,
so that the proxy is the slowest part. The load comes from this process, over keep-alive connections.

* steady: 64 connections, one text a request: requests a second, latencies, and what was not 200.
* overload: more connections than may wait: how many were refused, how fast, and how the admitted ones did.
* single: 32 connections, one text a request, against 32 `BertClient`s doing the same, in turns.
* bulk: 512 texts a request, base64, against `BertClient` doing the same, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bert_serving.client import BertClient
from support.serving import SMALL_MODEL, ServerProcess, fake_path

WORDS = 'the quick brown fox jumps over a lazy dog while seven wizards brew some very strong tea'.split()
BULK_ROWS = 512
BULK_IN_FLIGHT = 4
SINGLE_IN_FLIGHT = 32
OPTIONS: list[str] = []


@dataclass
class Tally:
    """Latencies in seconds by status; 0 stands for a connection that failed."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, status: int, latency: float) -> None:
        self.latencies.setdefault(status, []).append(latency)

    def __str__(self) -> str:
        lines = []
        for status, latencies in sorted(self.latencies.items()):
            cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
            lines.append(
                '%s: %d requests, %.1f/s, p50 %.1f ms, p99 %.1f ms, max %.1f ms'
                % (
                    status,
                    len(latencies),
                    len(latencies) / self.seconds,
                    1e3 * cuts[49],
                    1e3 * cuts[98],
                    1e3 * max(latencies),
                )
            )
        return '\n'.join(lines)


def sentences(rows: int, seed: int) -> list[str]:
    """Texts of eight to twelve words, no two requests with the same."""
    return [
        ' '.join(WORDS[(seed + row + k) % len(WORDS)] for k in range(8 + (seed + row) % 5)) + ' %d %d' % (seed, row)
        for row in range(rows)
    ]


def request_bytes(path: str, query: object) -> bytes:
    body = json.dumps(query).encode()
    head = 'POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n'
    return (head % (path, len(body))).encode() + body


async def one_connection(port: int, requests: Iterator[bytes], until: float, tally: Tally) -> None:
    """Ask one request after the other over a connection that is kept; a new one after a failure."""
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection('127.0.0.1', port, limit=1 << 26)
        except OSError:
            tally.add(0, 0.0)
            await asyncio.sleep(0.1)
            continue
        try:
            while time.monotonic() < until:
                began = time.monotonic()
                writer.write(next(requests))
                head = await reader.readuntil(b'\r\n\r\n')
                length = re.search(rb'content-length: (\d+)', head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                tally.add(int(head[9:12]), time.monotonic() - began)
                if int(head[9:12]) == 429:
                    await asyncio.sleep(0.05)  # a caller that does not wait at all would measure itself
        except (OSError, asyncio.IncompleteReadError):
            tally.add(0, 0.0)
        finally:
            writer.close()


def load(port: int, connections: int, seconds: float, make: Callable[[int], bytes]) -> Tally:
    """That many connections for that long; `make(number)` makes a request."""
    tally = Tally()
    requests = map(make, itertools.count())

    async def run() -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(one_connection(port, requests, until, tally) for _ in range(connections)))

    began = time.monotonic()
    asyncio.run(run())
    tally.seconds = time.monotonic() - began
    return tally


def single(number: int) -> bytes:
    return request_bytes('/encode', {'id': number, 'texts': sentences(1, number)})


def bulk(number: int) -> bytes:
    return request_bytes('/v1/embeddings', {'input': sentences(BULK_ROWS, number), 'encoding_format': 'base64'})


@contextmanager
def server(is_fake: bool, *words: str) -> Iterator[tuple[int, int, int]]:
    """A server; its ports for requests, answers and HTTP."""
    words = ('-http_host', '127.0.0.1', '-http_port', '0', *words, *OPTIONS)
    if is_fake:
        words = ('-model_dir', SMALL_MODEL, *words)
    module = 'support.fake_cli' if is_fake else 'bert_serving.server.cli'
    with ServerProcess(*words, environment={'PYTHONPATH': fake_path()}, module=module) as process:
        process.wait_until_ready()
        load(process.http_port, 8, 2, single)  # warm
        yield process.port, process.port_out, process.http_port
        code = process.stop()
        errors = Counter(line[:2] for line in process.log.splitlines())['E:']
        print('the server ended with %d, and %d errors in its log' % (code, errors))


def steady(is_fake: bool, seconds: float) -> None:
    """64 keep-alive connections."""
    with server(is_fake) as (_port, _port_out, http_port):
        print(load(http_port, 64, seconds, single))


def overload(is_fake: bool, seconds: float) -> None:
    """Four times as many connections as may be admitted."""
    with server(is_fake, '-http_max_waiting', '30') as (_port, _port_out, http_port):
        print(load(http_port, 160, seconds, single))


def single_over_both(is_fake: bool, seconds: float) -> None:
    over_both(is_fake, seconds, SINGLE_IN_FLIGHT, 1, single)


def bulk_over_both(is_fake: bool, seconds: float) -> None:
    over_both(is_fake, seconds, BULK_IN_FLIGHT, BULK_ROWS, bulk)


def over_both(is_fake: bool, seconds: float, clients: int, size: int, make: Callable[[int], bytes]) -> None:
    """HTTP and ZeroMQ in turns, three times."""
    rows: dict[str, float] = {'HTTP': 0, 'ZeroMQ': 0}
    spent: dict[str, float] = {'HTTP': 0, 'ZeroMQ': 0}
    with server(is_fake) as (port, port_out, http_port):
        for turn in range(3):

            def of_turn(number: int, first: int = 100_000_000 * (1 + turn) + 50_000_000) -> bytes:
                return make(first + number)  # texts as long as those over ZeroMQ

            tally = load(http_port, clients, seconds / 6, of_turn)
            rows['HTTP'] += size * len(tally.latencies.get(200, ()))
            spent['HTTP'] += tally.seconds
            print('HTTP\n%s' % tally)
            done, took = over_zeromq(port, port_out, seconds / 6, 100_000_000 * (1 + turn), clients, size)
            rows['ZeroMQ'] += done
            spent['ZeroMQ'] += took
            print('ZeroMQ: %.0f rows/s' % (done / took))
    rates = {name: rows[name] / spent[name] for name in rows}
    print('rows/s: %s; HTTP / ZeroMQ = %.2f' % (rates, rates['HTTP'] / rates['ZeroMQ']))


def over_zeromq(port: int, port_out: int, seconds: float, seed: int, clients: int, size: int) -> tuple[int, float]:
    """The same requests by so many clients; rows, and the seconds that they took."""
    done = [0] * clients
    began = time.monotonic()

    def run(name: int) -> None:
        with BertClient(port=port, port_out=port_out, check_length=False) as client:
            for number in itertools.count(seed + 100_000 * name):
                if time.monotonic() - began >= seconds:
                    return
                done[name] += len(client.encode(sentences(size, number)))

    threads = [threading.Thread(target=run, args=(name,)) for name in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), time.monotonic() - began


EXPERIMENTS = {'steady': steady, 'overload': overload, 'single': single_over_both, 'bulk': bulk_over_both}

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('experiments', nargs='*', metavar='EXPERIMENT', default=list(EXPERIMENTS))
    parser.add_argument('-seconds', type=float, default=60)
    parser.add_argument('-fake', action='store_true')
    parser.add_argument('-options', nargs=argparse.REMAINDER, default=[], help='for bert-serving-start; last')
    arguments = parser.parse_args()
    OPTIONS.extend(arguments.options)
    for name in arguments.experiments:
        print('== %s' % name, flush=True)
        EXPERIMENTS[name](arguments.fake, arguments.seconds)
