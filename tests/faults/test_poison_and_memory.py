"""Poison and memory: a request that kills workers is told so; one that is too large at once is computed in halves."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bert_serving.client import ServerError as RequestFailed
from support.processes import children_of, fake_server
from support.serving import connect
from support.waiting import wait_until


@pytest.mark.parametrize('workers', [1, 2])
def test_poison_the_request_that_kills_is_answered_with_an_error_and_all_beside_it_with_vectors(
    workers: int, tmp_path: Path
) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-num_worker', str(workers), FAKE_WORKER_GATE=str(gate)) as server:
        server.wait_until_ready()
        with connect(server) as poisoner, connect(server) as innocent:
            for length in range(1, 9):
                innocent.encode(['the ' * length] * length, blocking=False)
            poisoner.encode(['they kill'], blocking=False)
            gate.touch()
            with pytest.raises(RequestFailed, match='PoisonedRequest: this request crashed two workers') as caught:
                poisoner.fetch_all()
            assert 'do not retry it' in str(caught.value)
            answers = innocent.fetch_all()
            assert [len(answer) for answer in answers] == list(range(1, 9))
            for length, answer in enumerate(answers, 1):
                np.testing.assert_array_equal(answer, innocent.encode(['the ' * length] * length))
            statistic = innocent.server_status['statistic']
        assert statistic['num_poisoned_request'] == 1
        assert statistic['num_worker_restart'] == 3, 'once among others, and twice alone'
        assert server.stop() == 0


def test_poison_sent_again_and_again_keeps_nobody_from_being_answered() -> None:
    with fake_server('-num_worker', '2') as server:
        server.wait_until_ready()

        def send_poison() -> int:
            with connect(server) as client:
                for _ in range(2):
                    with pytest.raises(RequestFailed, match='PoisonedRequest'):
                        client.encode(['they kill'])
            return 2

        with ThreadPoolExecutor(1) as pool, connect(server) as client:
            poison = pool.submit(send_poison)
            answered = 0
            while not poison.done():
                assert client.encode(['the innocent']).shape == (1, 3)
                answered += 1
            assert poison.result() == 2
            assert answered > 0
        assert server.stop() == 0


def test_memory_a_run_beyond_the_limit_is_logged_as_such_and_answered_in_halves() -> None:
    with fake_server(FAKE_WORKER_ROOM_MB='700') as server:
        server.wait_until_ready()
        before = children_of(server)
        with connect(server) as client:
            texts = ['huge %s' % ('the ' * i) for i in range(12)]
            assert client.encode(texts).shape == (12, 3)
            assert client.server_status['statistic']['num_worker_restart'] == 0
        assert re.search('W:WORKER-0:.*out of memory: batch failed, retrying as two halves rows=12', server.log), (
            server.log
        )
        assert children_of(server) == before
        assert server.stop() == 0


def test_memory_a_row_that_is_too_much_by_itself_is_an_error_for_its_sender_alone() -> None:
    with fake_server(FAKE_WORKER_ROOM_MB='100') as server:
        server.wait_until_ready()
        with connect(server) as client:
            with pytest.raises(RequestFailed, match=r'InternalError: worker 0 failed on the request: .*Memory'):
                client.encode(['the first', 'a huge one'])
            assert client.encode(['the next']).shape == (1, 3)
        assert server.stop() == 0


def test_memory_a_worker_killed_for_it_is_logged_as_such_and_its_job_computed_in_halves() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with connect(server) as client:
            texts = ['heavy %s' % ('the ' * i) for i in range(8)]
            assert client.encode(texts).shape == (8, 3)
            statistic = wait_until(lambda: client.server_status['statistic'])
        assert statistic['num_worker_restart'] == 2, 'once among others, and once alone'
        assert statistic['num_poisoned_request'] == 0
        server.wait_for_log(r'WORKER-0 was killed by SIGKILL! Perhaps out of memory\?')
        assert server.stop() == 0
