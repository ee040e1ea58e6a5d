#!/usr/bin/env python3
"""What a kill does to a server: of 1.10.0, for comparison, or of this release. Not a test; run by hand.

    python tests/faults/kill_1_10.py -model_dir DIR -server /venv-of-1.10/bin/bert-serving-start
    python tests/faults/kill_1_10.py -model_dir DIR -server /venv-of-ours/bin/bert-serving-start

Clients ask one request after the other; after a second of that, one process of the server is killed with SIGKILL: a
worker, or the sink (the server is started anew for each). Each client goes on until it has had an answer to all its
requests, or has waited `-patience` seconds for one. The client is the one on the path of this Python: this
repository's, which asks again when a connection is lost, or that of 1.10.0 (`pip install bert-serving-client==1.10.0`),
which does not.

1.10's processes have no names: the children of the server are, in the order of their start, the sink and the workers.
Model folders of Google's form, TensorFlow 1 checkpoints, serve both.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from bert_serving.client import BertClient

TEXTS = ['the first', 'and the other', 'of them all'] * 4


def main() -> None:
    """Kill a worker, then the sink, and print a row of a Markdown table for each."""
    args = parse_arguments()
    print(
        '| killed | answered | never answered | clients that hang | error | processes before and after | still serving |'
    )
    print('|---|---|---|---|---|---|---|')
    for victim in ('worker', 'sink'):
        with running_server(args) as (process, port, port_out):
            print(
                '| %s | %s |' % (victim, ' | '.join(kill_under_load(args, process, port, port_out, victim))), flush=True
            )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-server', default=os.environ.get('BERT_SERVING_START', 'bert-serving-start'))
    parser.add_argument('-model_dir', required=True)
    parser.add_argument('-num_worker', type=int, default=2)
    parser.add_argument('-clients', type=int, default=8)
    parser.add_argument('-requests', type=int, default=400, help='of each client')
    parser.add_argument('-patience', type=float, default=20, help='seconds')
    return parser.parse_args()


@contextmanager
def running_server(args: argparse.Namespace) -> Iterator[tuple[psutil.Process, int, int]]:
    """The server, ready, in a session of its own; all its processes are killed at the end."""
    port, port_out = free_port(), free_port()
    words = [
        '-cpu',
        '-num_worker',
        str(args.num_worker),
        '-max_seq_len',
        '25',
        '-model_dir',
        os.path.abspath(args.model_dir),
    ]
    words += ['-port', str(port), '-port_out', str(port_out)]
    with tempfile.TemporaryDirectory(prefix='kill') as folder:
        server = subprocess.Popen(
            [args.server, *words],
            cwd=folder,
            start_new_session=True,
            env={**os.environ, 'ZEROMQ_SOCK_TMP_DIR': folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process = psutil.Process(server.pid)
        try:
            with connect(port, port_out, patience_s=120):
                pass
            yield process, port, port_out
        finally:
            for one in [*process.children(recursive=True), process]:
                with suppress(psutil.Error):
                    one.kill()
            server.wait()


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        return int(unused.getsockname()[1])


def connect(port: int, port_out: int, patience_s: float) -> BertClient:
    return BertClient(port=port, port_out=port_out, timeout=int(1000 * patience_s))


def kill_under_load(
    args: argparse.Namespace, server: psutil.Process, port: int, port_out: int, victim: str
) -> list[str]:
    """The cells of a row of the table."""
    counts: Counter[str] = Counter()
    begun = threading.Barrier(args.clients + 1)
    clients = [
        threading.Thread(target=ask, args=(args, port, port_out, begun, counts), daemon=True)
        for _ in range(args.clients)
    ]
    for client in clients:
        client.start()
    begun.wait(60)
    before = len(server.children())
    time.sleep(1)
    os.kill(find(server, victim), signal.SIGKILL)
    for client in clients:
        client.join()
    with suppress(psutil.NoSuchProcess):
        counts['after'] = len([c for c in server.children() if c.status() != psutil.STATUS_ZOMBIE])
    asked = args.clients * args.requests
    answered = '%d of %d' % (counts['answered'], asked)
    return [
        answered,
        str(counts['hang']),
        '%d of %d' % (counts['hang'], args.clients),
        str(counts['error']),
        '%d and %d' % (before, counts['after']),
        'yes' if serves(args, port, port_out) else 'no',
    ]


def ask(args: argparse.Namespace, port: int, port_out: int, begun: threading.Barrier, counts: Counter[str]) -> None:
    """A client; it ends with the first request that is not answered in time, because it would wait forever."""
    with connect(port, port_out, args.patience) as client:
        begun.wait(60)
        for _ in range(args.requests):
            try:
                rows = len(client.encode(TEXTS))
            except TimeoutError:
                counts['hang'] += 1
                return
            except Exception:
                counts['error'] += 1
                continue
            counts['answered' if rows == len(TEXTS) else 'error'] += 1


def find(server: psutil.Process, victim: str) -> int:
    """The first worker, or the sink."""
    children = sorted(server.children(), key=lambda child: child.create_time())
    named = [child for child in children if child.cmdline()[-1].endswith('.' + victim)]
    if named:
        return int(named[0].pid)
    return int(children[0 if victim == 'sink' else 1].pid)


def serves(args: argparse.Namespace, port: int, port_out: int) -> bool:
    """Whether a new client is answered."""
    try:
        with connect(port, port_out, args.patience) as client:
            return len(client.encode(TEXTS)) == len(TEXTS)
    except Exception:
        return False


if __name__ == '__main__':
    main()
