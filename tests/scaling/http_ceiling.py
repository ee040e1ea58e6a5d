#!/usr/bin/env python3
"""How many requests can one HTTP proxy serve, whatever the server behind it does?

    python tests/scaling/http_ceiling.py [-connections 32] [-seconds 10]

The proxy runs in its own process, with its usual threads and limits: first with a backend in memory that answers at
once, then as the client of a server whose workers do. The load comes from this process, over keep-alive connections.
Printed are requests per second, and the processors' time of the proxy for a request. Its inverse is the ceiling on a
machine where nothing else takes time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil

from bert_serving.server.http.app import create_app
from bert_serving.server.http.backend import DEFAULT_OPTIONS, Encoding, IsGone
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.dispatcher import Dispatcher
from bert_serving.server.http.frontend import Frontend
from bert_serving.server.http.proxy import handle_signals
from bert_serving.server.http.requests import Rows
from bert_serving.server.protocol.options import EncodingOptions
from scaling.http_load import load, request_bytes, sentences
from support.fake_backend import STATUS, FakeBackend
from support.serving import SMALL_MODEL, ServerProcess, fake_path

WIDTH = 384
DRAIN_S = 5


class MemoryBackend(FakeBackend):
    """Answers any row with a vector of a real size, and keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.status = {**STATUS, 'model': {**STATUS['model'], 'dimensions': WIDTH}}
        self._vectors = np.random.default_rng(0).standard_normal((512, WIDTH), np.float32)

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding:
        count = len(rows.items)
        return Encoding(self._vectors[:count], '', [22] * count)


def serve() -> None:
    """Be the proxy: print the port, and serve until a signal comes."""
    config = HttpConfig(host='127.0.0.1')
    dispatcher = Dispatcher(config.max_connect, config.max_waiting, config.make_authenticator(), config.max_small)
    app = create_app(MemoryBackend(), config, working=lambda: dispatcher.working, waiting=lambda: dispatcher.waiting)
    frontend = Frontend(app, dispatcher, config.host, 0, config.max_body)
    handle_signals(frontend)
    print(frontend.port, flush=True)
    try:
        frontend.run(DRAIN_S)
    finally:
        frontend.close()


def encode(number: int) -> bytes:
    return request_bytes('/encode', {'id': number, 'texts': sentences(1, number)})


def embeddings(number: int) -> bytes:
    return request_bytes('/v1/embeddings', {'input': sentences(1, number), 'encoding_format': 'base64'})


def floats(number: int) -> bytes:
    return request_bytes('/v1/embeddings', {'input': sentences(1, number)})


REQUESTS: dict[str, Any] = {'/encode': encode, '/v1/embeddings': floats, '/v1/embeddings, base64': embeddings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-connections', type=int, default=32)
    parser.add_argument('-seconds', type=float, default=10)
    parser.add_argument('-rounds', type=int, default=3)
    parser.add_argument('-serve', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    for title, start in (('a backend in memory', in_memory), ('a server', before_a_server)):
        print('== %s' % title)
        with start() as (port, proxy):
            load(port, args.connections, 1, encode)  # warm
            for _ in range(args.rounds):
                for name, make in REQUESTS.items():
                    measure(name, port, proxy, args.connections, args.seconds, make)


@contextmanager
def in_memory() -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a proxy with a backend in memory."""
    with subprocess.Popen([sys.executable, __file__, '-serve'], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.terminate()


@contextmanager
def before_a_server() -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of the proxy of a server with fake workers."""
    words = ('-model_dir', SMALL_MODEL, '-http_host', '127.0.0.1', '-http_port', '0')
    with ServerProcess(*words, environment={'PYTHONPATH': fake_path()}, module='support.fake_cli') as process:
        process.wait_until_ready()
        children = psutil.Process(process.process.pid).children()
        (proxy,) = (child for child in children if child.cmdline()[-1].endswith('.proxy'))
        yield process.http_port, proxy
        process.stop()


def measure(name: str, port: int, proxy: psutil.Process, connections: int, seconds: float, make: Any) -> None:
    before = sum(proxy.cpu_times()[:2])
    tally = load(port, connections, seconds, make)
    taken = sum(proxy.cpu_times()[:2]) - before
    ms = 1e3 * taken / sum(map(len, tally.latencies.values()))
    print('%s: %.2f ms of processors a request, a ceiling of %.0f/s' % (name, ms, 1e3 / ms))
    print('    %s' % tally, flush=True)


if __name__ == '__main__':
    main()
