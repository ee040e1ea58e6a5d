"""Drain: what was accepted is answered though the server is told to stop, and though children die even then.

That new requests are refused meanwhile, the time limit, a second signal and what is left behind:
tests/system/test_start_and_stop.py.
"""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.processes import SINK, WORKER, children_of, fake_server, is_running, send
from support.raw_client import raw_client
from support.serving import connect
from support.waiting import wait_until


def test_drain_under_load_every_request_is_answered_with_vectors_or_refused() -> None:
    with fake_server('-num_worker', '2', FAKE_WORKER_SECONDS='0.02') as server:
        server.wait_until_ready()

        def ask_until_refused() -> int:
            """How many requests were answered before the first that was refused, each with what it has to be."""
            with raw_client(server) as client:
                for number in range(1, 100_000):
                    client.ask(['the'] * 5, number)
                    frames = client.receive()
                    assert frames[-1] == b'%d' % number
                    head = json.loads(frames[1])
                    if 'error' in head:
                        assert head['error']['type'] == 'ShuttingDown'
                        return number - 1
                    assert head['shape'] == [5, 3]
            raise AssertionError('it was never refused')

        with connect(server) as slow, ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask_until_refused) for _ in range(4)]
            slow.encode(['%s' % ('the ' * (i % 20 + 1)) for i in range(5000)], blocking=False)
            wait_until(lambda: slow.server_status['statistic']['num_published_request'] > 20)
            slow.encode(['%s' % ('of ' * (i % 20 + 1)) for i in range(5000)], blocking=False)
            wait_until(lambda: slow.server_status['statistic']['num_data_request'] > 20)
            server.process.send_signal(signal.SIGTERM)
            assert [len(answer) for answer in slow.fetch_all()] == [5000, 5000]
            assert all(client.result(30) > 0 for client in clients)
        assert server.wait() == 0


@pytest.mark.parametrize('victim', [WORKER, SINK])
def test_drain_answers_what_a_child_had_that_dies_meanwhile(victim: str, tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-max_batch_size', '4', FAKE_WORKER_GATE=str(gate)) as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['the'] * 20, blocking=False)
            wait_until(lambda: client.server_status['statistic']['in_flight_rows'] > 0)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_log('shutting down after answering')
            (pid,) = children_of(server, victim)
            send(pid, signal.SIGKILL)
            wait_until(lambda: not is_running(pid))
            gate.touch()
            (answer,) = client.fetch_all()
            assert answer.shape == (20, 3)
        assert server.wait() == 0
