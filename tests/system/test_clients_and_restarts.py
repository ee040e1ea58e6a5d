"""Clients that stay while servers go and come, and clones of one identity."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bert_serving.client import BertClient
from serving import SMALL_MODEL, ServerProcess


def fake_server(*words: str, seconds: str = '0') -> ServerProcess:
    environment = {'FAKE_WORKER_SECONDS': seconds}
    return ServerProcess('-model_dir', SMALL_MODEL, *words, environment=environment, module='fake_cli')


def on_the_ports_of(server: ServerProcess) -> list[str]:
    return ['-port', str(server.port), '-port_out', str(server.port_out)]


def test_a_server_killed_and_started_again_between_two_calls_answers_both() -> None:
    with fake_server() as first:
        first.wait_until_ready()
        with BertClient(port=first.port, port_out=first.port_out, timeout=60_000) as client:
            before = client.encode(['hello', 'world'])
            first.process.kill()
            first.process.wait()
            with fake_server(*on_the_ports_of(first)) as second:
                np.testing.assert_array_equal(client.encode(['hello', 'world']), before)
                assert client.server_status['statistic']['num_data_request'] == 1
                assert second.stop() == 0


def test_a_server_killed_and_started_again_in_the_middle_of_a_call_answers_it() -> None:
    texts = ['text %d' % i for i in range(40)]
    with fake_server('-max_batch_size', '2', seconds='0.1') as first:
        first.wait_until_ready()
        with BertClient(port=first.port, port_out=first.port_out, timeout=60_000) as client:
            killer = threading.Timer(0.5, first.process.kill)
            killer.start()
            answers: list[np.ndarray] = []
            caller = threading.Thread(target=lambda: answers.append(client.encode(texts)))
            caller.start()
            killer.join()
            first.process.wait()
            assert answers == []
            with fake_server(*on_the_ports_of(first)) as second:
                caller.join(60)
                np.testing.assert_array_equal(answers[0], client.encode(texts))
                assert second.stop() == 0


def test_two_clones_that_ask_different_things_at_once_get_each_its_own_answer() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        start = threading.Barrier(2)

        def be_a_clone(word: str) -> None:
            with BertClient(port=server.port, port_out=server.port_out, identity='twin', timeout=30_000) as client:
                expected = client.encode([word])
                start.wait()
                for _ in range(50):
                    np.testing.assert_array_equal(client.encode([word]), expected)

        threads = [threading.Thread(target=run_and_keep, args=(be_a_clone, word)) for word in ('one', 'two three four')]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert faults == []
        assert server.stop() == 0


faults: list[BaseException] = []


def run_and_keep(function, *args) -> None:  # type: ignore[no-untyped-def]
    try:
        function(*args)
    except BaseException as fault:
        faults.append(fault)


def test_clones_hear_each_other_and_a_prefix_of_an_identity_hears_nothing() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        ports = {'port': server.port, 'port_out': server.port_out}
        with (
            BertClient(identity='family', timeout=30_000, **ports) as asking,
            BertClient(identity='family', timeout=3_000, **ports) as listening,
            BertClient(identity='fam', timeout=500, **ports) as prefix,
        ):
            heard = listening.listen()
            answer = asking.encode(['one', 'two'])
            np.testing.assert_array_equal(next(heard).embedding, answer)
            with pytest.raises(TimeoutError):
                next(prefix.listen())
        assert server.stop() == 0
