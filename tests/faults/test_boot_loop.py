"""Boot loop: a child that never becomes ready ends the server after bounded tries, with its last words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.processes import WORKER, children_of, fake_server, send
from support.serving import ServerProcess, connect


def starts_of(server: ServerProcess, number: int) -> int:
    """How often a worker was started; each says so before it loads anything."""
    return server.log.count('I:WORKER-%d:[wor:mai' % number)


@pytest.mark.parametrize('workers', [1, 2])
def test_boot_loop_a_worker_killed_at_each_start_ends_the_server(workers: int) -> None:
    last = str(workers - 1)
    with fake_server('-num_worker', str(workers), FAKE_WORKER_KILLED_AT_START=last) as server:
        assert server.wait() == 1
        assert 'WORKER-%s was killed by SIGKILL! Perhaps out of memory?; 5 starts have failed' % last in server.log
        assert starts_of(server, workers - 1) == 5
        assert 'all set' not in server.log


def test_boot_loop_a_worker_that_says_why_it_can_not_start_is_not_tried_again() -> None:
    with fake_server(FAKE_WORKER_DIES_AT_START='0') as server:
        assert server.wait() == 1
        assert 'WORKER-0: RuntimeError: no such device' in server.log
        assert starts_of(server, 0) == 1


def test_boot_loop_a_worker_that_can_not_come_back_is_given_up_and_the_last_one_ends_the_server(tmp_path: Path) -> None:
    broken = tmp_path / 'broken'
    with fake_server(
        '-num_worker', '2', FAKE_WORKER_BROKEN_BY=str(broken), FAKE_RESTART_POLICY='{"min_trying_s": 2}'
    ) as server:
        server.wait_until_ready()
        broken.touch()
        first, second = children_of(server, WORKER)
        send(first, signal.SIGKILL)
        server.wait_for_log('starts have failed: the server continues without it')
        with connect(server) as client:
            assert client.encode(['the other one']).shape == (1, 3)
            assert sorted(worker['state'] for worker in client.server_status['workers']) == ['gone', 'ready']
        send(second, signal.SIGKILL)
        assert server.wait() == 1
        assert 'starts have failed, and no worker is left' in server.log
