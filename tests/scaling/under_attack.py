"""The effect of attacks on an innocent client, and their cost: `python tests/scaling/under_attack.py [NAME...]`.

Each attack has its own server with the default model and one worker, while a client sends a hundred requests of one
text each. A row of the table has the median and the longest time that the client waits, the memory of each process
before, at the peak and a minute after, and what the attacker gets. docs/security.md has the attacks.

The minute passes while the next attack runs, because an idle server needs no processor. All of it takes six minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import zmq

from support.raw_peer import connect_by_hand, frame
from support.serving import ServerProcess, connect
from support.waiting import wait_until

REQUESTS = 100
PAUSE_S = 0.1
PATIENCE_MS = 20_000


class Attacker:
    """Sockets of an attacker, and what it has read."""

    def __init__(self, server: ServerProcess, context: zmq.Context[Any]) -> None:
        self.server = server
        self.over = threading.Event()
        self._context = context
        self._closing = contextlib.ExitStack()

    def sender(self) -> zmq.Socket[bytes]:
        return self._connect(zmq.PUSH, self.server.port)

    def reader(self, *topics: bytes, hwm: int = 0) -> zmq.Socket[bytes]:
        reader = self._connect(zmq.SUB, self.server.port_out, RCVHWM=hwm, RCVBUF=4096)
        for topic in topics:
            reader.setsockopt(zmq.SUBSCRIBE, topic)
        return reader

    def _connect(self, kind: int, port: int, **options: int) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        self._closing.callback(made.close, 0)
        for name, value in {'SNDHWM': 0, 'LINGER': 0, **options}.items():
            made.setsockopt(getattr(zmq, name), value)
        made.connect('tcp://127.0.0.1:%d' % port)
        return made

    def peer(self) -> socket.socket:
        return self._closing.enter_context(connect_by_hand(self.server.port))

    def caller(self, body: bytes) -> None:
        """Ask over HTTP, and do not read."""
        client = self._closing.enter_context(socket.create_connection(('127.0.0.1', self.server.http_port)))
        head = 'POST /encode HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(body)
        client.sendall(head.encode() + body)

    def ask(self, identity: bytes, payload: bytes, rows: int) -> str:
        """Send a request and wait for its reply; return the beginning of its head."""
        reader, sender = self.reader(identity), self.sender()
        time.sleep(0.3)
        sender.send_multipart([identity, payload, b'1', b'%d' % rows])
        if not reader.poll(PATIENCE_MS):
            return 'no reply'
        return reader.recv_multipart()[1][:90].decode('utf-8', 'replace')

    def close(self) -> None:
        self.over.set()
        self._closing.close()


def none(attacker: Attacker) -> str:
    """To compare with: the machine can be busy with other work."""
    attacker.over.wait()
    return 'nothing'


def empty_frames(attacker: Attacker) -> str:
    """Ten million empty frames: each takes two bytes on the wire and 64 in memory."""
    peer = attacker.peer()
    try:
        for _ in range(1000):
            peer.sendall(frame(b'', more=True) * 10_000)
        peer.sendall(frame(b''))
    except OSError:
        return 'nothing; its connection was closed'
    return 'nothing'


def million_frames(attacker: Attacker) -> str:
    peer = attacker.peer()
    with contextlib.suppress(OSError):
        for _ in range(100):
            peer.sendall(frame(b'x', more=True) * 10_000)
        peer.sendall(frame(b'x'))
    return 'nothing'


def endless_message(attacker: Attacker) -> str:
    peer = attacker.peer()
    try:
        while not attacker.over.is_set():
            peer.sendall(frame(b'x' * 255, more=True) * 4000)
    except OSError:
        return 'nothing; its connection was closed'
    return 'nothing'


def prefixes(attacker: Attacker) -> str:
    reader = attacker.reader(*(b'%x' % digit for digit in range(16)))
    replies = 0
    while not attacker.over.is_set():
        if reader.poll(100):
            reader.recv_multipart()
            replies += 1
    return '%d replies of others' % replies


def unread_replies(attacker: Attacker) -> str:
    sender = attacker.sender()
    for number in range(4):
        me = b'a-reader-that-does-not-read-%d' % number
        attacker.reader(me, hwm=1)
        time.sleep(0.3)
        for request in range(150):
            sender.send_multipart([me, json.dumps(['x'] * 4000).encode(), b'%d' % request, b'4000'])
    attacker.over.wait()
    return 'its own replies'


def large_reply(attacker: Attacker) -> str:
    return attacker.ask(b'an-attacker-asks-for-much', json.dumps(['x'] * 300_000).encode(), 300_000)


def empty_lists(attacker: Attacker) -> str:
    return attacker.ask(b'an-attacker-sends-lists', b'[' + b'[],' * 20_000_000 + b'[]]', 300)


def wrong_count(attacker: Attacker) -> str:
    """A million texts, one less than announced: the error is found when all have been read."""
    return attacker.ask(
        b'an-attacker-counts-badly', json.dumps(['text %d' % n for n in range(1_000_000)]).encode(), 1_000_001
    )


def long_text(attacker: Attacker) -> str:
    return attacker.ask(b'an-attacker-sends-a-text', json.dumps(['ab,' * 20_000_000]).encode(), 1)


def marks(attacker: Attacker) -> str:
    return attacker.ask(b'an-attacker-sends-marks', json.dumps(['\u0301\u0316' * 500_000]).encode(), 1)


def many_requests(attacker: Attacker) -> str:
    sender = attacker.sender()
    for number in range(3000):
        sender.send_multipart([b'an-attacker-with-many', b'["one %d"]' % number, b'%d' % number, b'1'])
    sender.send_multipart(
        [b'one-with-a-large-one', json.dumps(['t%d' % n for n in range(100_000)]).encode(), b'1', b'100000']
    )
    attacker.over.wait()
    return 'its share'


def leaving(attacker: Attacker) -> str:
    sender, me = attacker.sender(), b'an-attacker-that-leaves'
    reader = attacker.reader(me)
    time.sleep(0.3)
    for number in range(20_000):
        sender.send_multipart([me, b'["lv%d"]' % number, b'%d' % number, b'1'])
    time.sleep(2)
    reader.close()
    attacker.over.wait()
    return 'its share'


def http_callers(attacker: Attacker) -> str:
    body = json.dumps({'id': 1, 'texts': ['w%d' % number for number in range(600)]}).encode()
    for _ in range(40):
        attacker.caller(body)
    attacker.over.wait()
    return 'its own replies'


ATTACKS: dict[str, Callable[[Attacker], str]] = {
    attack.__name__: attack
    for attack in (
        none,
        million_frames,
        empty_frames,
        endless_message,
        prefixes,
        unread_replies,
        large_reply,
        empty_lists,
        wrong_count,
        long_text,
        marks,
        many_requests,
        leaving,
        http_callers,
    )
}


class Memory:
    """The resident memory of a server's processes in MB, by what they are."""

    def __init__(self, server: ServerProcess) -> None:
        parent = psutil.Process(server.process.pid)
        self._processes = {'parent': parent}
        for child in parent.children():
            with contextlib.suppress(psutil.Error, IndexError):
                self._processes[child.cmdline()[-1].rpartition('.')[2]] = child
        self.before, self.peak = self.now(), self.now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def now(self) -> dict[str, int]:
        found = {}
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.Error):
                found[name] = process.memory_info().rss >> 20
        return found

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for name, size in self.now().items():
                self.peak[name] = max(self.peak.get(name, 0), size)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


def measure(server: ServerProcess, attack: Callable[[Attacker], str]) -> Callable[[], str]:
    """Attack, and return a function that makes a row of the table, for a call some time later."""
    context: zmq.Context[Any] = zmq.Context()
    attacker, learned, times = Attacker(server, context), ['nothing yet'], []

    def run() -> None:
        learned[0] = attack(attacker)

    with connect(server, timeout=120_000) as innocent:
        innocent.encode(['warm'])
        memory = Memory(server)
        thread = threading.Thread(target=run)
        thread.start()
        for number in range(REQUESTS):
            started = time.monotonic()
            innocent.encode(['innocent %d %d' % (number, os.getpid())])
            times.append(time.monotonic() - started)
            time.sleep(PAUSE_S)
        attacker.over.set()
        thread.join(120)
        attacker.close()
        wait_until(lambda: not innocent.server_status['statistic']['unfinished_requests'], within_s=120)
    context.term()

    def row() -> str:
        memory.stop()
        now = memory.now()
        shown = ', '.join(
            '%s %d / %d / %d' % (name, old, memory.peak[name], now.get(name, 0)) for name, old in memory.before.items()
        )
        middle, worst = 1000 * statistics.median(times), 1000 * max(times)
        return '| %s | %.0f | %.0f | %s | %s |' % (attack.__name__, middle, worst, shown, learned[0].replace('|', ' '))

    return row


def attack_a_server(name: str, after_s: float) -> Callable[[], str]:
    """Start a server and attack it. Return a function that waits `after_s`, stops the server and returns the row."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess('-http_port', '0'))
        server.wait_until_ready()
        row = measure(server, ATTACKS[name])
        later = stack.pop_all()

    def finish() -> str:
        with later:
            time.sleep(after_s)
            return row()

    return finish


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='attacks, of %s' % ', '.join(ATTACKS))
    parser.add_argument('-after', type=float, default=60.0, help='seconds after which the memory is looked at again')
    args = parser.parse_args()
    print('| attack | median ms | longest ms | MB before / peak / after | the attacker gets |\n|---|---|---|---|---|')
    with ThreadPoolExecutor() as waiting:
        for row in [waiting.submit(attack_a_server(name, args.after)) for name in args.names or ATTACKS]:
            print(row.result(), flush=True)


if __name__ == '__main__':
    main()
