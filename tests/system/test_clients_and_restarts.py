"""Clients that stay while servers go and come, and clones of one identity."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from support.processes import fake_server
from support.serving import ServerProcess, connect
from support.waiting import wait_until


def on_the_ports_of(server: ServerProcess) -> list[str]:
    return ['-port', str(server.port), '-port_out', str(server.port_out)]


def test_a_server_killed_and_started_again_between_two_calls_answers_both() -> None:
    with fake_server() as first:
        first.wait_until_ready()
        with connect(first) as client:
            before = client.encode(['hello', 'world'])
            first.process.kill()
            first.process.wait()
            with fake_server(*on_the_ports_of(first)) as second:
                np.testing.assert_array_equal(client.encode(['hello', 'world']), before)
                assert client.server_status['statistic']['num_data_request'] == 1
                assert second.stop() == 0


def test_a_server_killed_and_started_again_in_the_middle_of_a_call_answers_it() -> None:
    texts = ['text %d' % i for i in range(40)]
    with fake_server('-max_batch_size', '2', FAKE_WORKER_SECONDS='0.1') as first:
        first.wait_until_ready()
        with connect(first) as client, ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.encode, texts)
            with connect(first) as watching:
                wait_until(lambda: watching.server_status['statistic']['num_data_request'] == 1)
            first.process.kill()
            first.process.wait()
            assert not call.done()
            with fake_server(*on_the_ports_of(first)) as second:
                answer = call.result(60)
                np.testing.assert_array_equal(answer, client.encode(texts))
                assert second.stop() == 0


def test_two_clones_that_ask_different_things_at_once_get_each_its_own_answer() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        start = threading.Barrier(2, timeout=30)

        def be_a_clone(word: str) -> None:
            with connect(server, identity='twin', timeout=30_000) as client:
                expected = client.encode([word])
                start.wait()
                for _ in range(50):
                    np.testing.assert_array_equal(client.encode([word]), expected)

        with ThreadPoolExecutor(2) as pool:
            for clone in [pool.submit(be_a_clone, word) for word in ('one', 'two three four')]:
                clone.result(60)
        assert server.stop() == 0


def test_clones_hear_each_other_and_a_prefix_of_an_identity_hears_nothing() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with (
            connect(server, identity='family') as asking,
            connect(server, identity='family', timeout=3_000) as listening,
            connect(server, identity='fam', timeout=500) as prefix,
        ):
            heard = listening.listen()
            answer = asking.encode(['one', 'two'])
            np.testing.assert_array_equal(next(heard).embedding, answer)
            with pytest.raises(TimeoutError):
                next(prefix.listen())
        assert server.stop() == 0
