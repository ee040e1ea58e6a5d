"""Garbage: whatever is sent to a live server, nobody but its sender notices.

`GARBAGE_MESSAGES` is how many are sent (the whole 100,000 without it), `FUZZ_MESSAGES` how many messages are mutated.
The codec alone is fuzzed in tests/unit/test_wire.py.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from faults import garbage
from support.processes import SINK, WORKER, children_of, fake_server, memory_of
from support.raw_client import raw_client
from support.serving import ServerProcess, connect

MESSAGES = int(os.environ.get('GARBAGE_MESSAGES', '100000'))
FUZZ = int(os.environ.get('FUZZ_MESSAGES', '3000'))
CLIENTS = 4
TEXTS = ['the first', 'and the other', 'of them']
MB = 1 << 20


class GoodClients:
    """They ask and ask until they are told to stop, and take the time of each answer."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._over = threading.Event()

    def median_s(self, while_running: subprocess.Popen[bytes] | None, at_least: int) -> float:
        """The median of at least so many answers of each client, while that process runs."""
        self._over.clear()
        with ThreadPoolExecutor(CLIENTS) as pool:
            timings = [pool.submit(self._ask, at_least) for _ in range(CLIENTS)]
            if while_running is not None:
                assert while_running.wait(200) == 0
            self._over.set()
            return statistics.median(seconds for timing in timings for seconds in timing.result(60))

    def _ask(self, at_least: int) -> list[float]:
        timings: list[float] = []
        with connect(self._server) as client:
            expected = client.encode(TEXTS)
            while len(timings) < at_least or not self._over.is_set():
                started = time.monotonic()
                np.testing.assert_array_equal(client.encode(TEXTS), expected)
                timings.append(time.monotonic() - started)
        return timings


@pytest.mark.timeout(280)
def test_garbage_beside_four_good_clients_costs_them_no_answer_and_at_most_half_their_speed() -> None:
    with fake_server('-num_worker', '2', FAKE_WORKER_SECONDS='0.02') as server:
        server.wait_until_ready()
        clients = GoodClients(server)
        children = children_of(server)
        processes = [server.process.pid, *children]
        alone = clients.median_s(None, at_least=100)
        memory = {pid: memory_of(pid) for pid in processes}
        command = [sys.executable, garbage.__file__, str(server.port), str(MESSAGES)]
        with subprocess.Popen(command) as sender:
            beside = clients.median_s(sender, at_least=100)
        lines = server.log.count('\n')
        grown = {pid: (memory_of(pid) - memory[pid]) // MB for pid in processes}
        print(
            '\ngarbage: %d messages, median %.1f ms alone and %.1f ms beside, %d log lines, MB grown: %s'
            % (MESSAGES, 1000 * alone, 1000 * beside, lines, sorted(grown.values()))
        )
        assert beside <= 2 * alone
        assert children_of(server) == children
        assert lines < 2000, 'the log is limited by time, not by messages'
        assert max(grown.values()) < 700, 'what the sink keeps for readers that never come is bounded'
        assert server.stop() == 0
        assert 'Traceback' not in server.log


@pytest.fixture(scope='module')
def server() -> Iterator[ServerProcess]:
    with fake_server('-max_batch_size', '64') as server:
        yield server.wait_until_ready()
        assert server.stop() == 0


@pytest.mark.parametrize(
    ('message', 'rows', 'says'),
    [
        (b'["the"]', b'2', '2 rows'),
        (b'["the"]', b'0', 'row count is 0'),
        (b'["the"]', b'two', 'row count is not a number'),
        (b'[' * 100_000, b'1', 'nested too deeply'),
        (b'["\xff"]', b'1', 'not UTF-8'),
        (b'["the"', b'1', 'not JSON'),
        (b'[[["the"]]]', b'1', 'element 0'),
        (b'[["the", 5]]', b'1', 'element 0'),
        (b'["the", null]', b'2', 'element 1'),
        (b'{"the": 1}', b'1', 'list'),
        (b'NaN', b'1', 'list'),
    ],
)
def test_garbage_its_sender_is_told_what_is_wrong(
    server: ServerProcess, message: bytes, rows: bytes, says: str
) -> None:
    with raw_client(server) as client:
        client.send(client.identity, message, b'1', rows)
        error = json.loads(client.receive()[1])['error']
        assert error['type'] == 'BadRequest'
        assert says in error['message'], error
        client.assert_served()


@pytest.mark.parametrize(
    'text', ['', ' ', '\t\n', '\ud800', 'a' * (1 << 20), 'the ' * (1 << 18), '\0', '|||', 'a ||| ']
)
def test_garbage_an_odd_text_is_answered(server: ServerProcess, text: str) -> None:
    with raw_client(server) as client:
        client.ask([text, 'the other'])
        assert json.loads(client.receive()[1])['shape'] == [2, 3]
        client.assert_served()


@pytest.mark.parametrize('identity', ['ünï'.encode(), b'\xff\xfe\x00', b'a#b', b'#', b'x' * 256, b' '])
def test_garbage_an_odd_identity_is_answered_like_any_other(server: ServerProcess, identity: bytes) -> None:
    with raw_client(server, identity) as client:
        client.assert_served()


@pytest.mark.parametrize(
    'frames',
    [
        [b''],
        [b'a'] * 3,
        [b'a'] * 6,
        [b'', b'["the"]', b'1', b'1'],
        [b'x' * 10_000, b'["the"]', b'1', b'1'],
        [b'a', b'["the"]', b'one', b'1'],
    ],
)
def test_garbage_of_nobody_that_could_be_told_is_a_line_in_the_log(server: ServerProcess, frames: list[bytes]) -> None:
    with raw_client(server) as client:
        before = client.status()['statistic']['num_garbage_message']
        client.send(*frames)
        client.assert_served()
        assert client.status()['statistic']['num_garbage_message'] == before + 1
    server.wait_for_log('dropped a message')


def test_garbage_mutations_of_valid_messages_leave_the_same_processes_answering(server: ServerProcess) -> None:
    dice = random.Random(int(os.environ.get('FUZZ_SEED', '1')))
    before = children_of(server, WORKER), children_of(server, SINK)
    with raw_client(server) as client:
        for number in range(FUZZ):
            frames = garbage.mutate(dice, dice.choice(garbage.VALID))
            client.send(*frames)
            try:
                client.assert_served()
            except AssertionError:
                raise AssertionError('no answer after message %d: %r' % (number, frames)) from None
    assert (children_of(server, WORKER), children_of(server, SINK)) == before
    assert 'Traceback' not in server.log
