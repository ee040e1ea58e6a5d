"""A child on a node of a cluster looks to the supervisor like any other: reports, last words, exit."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from bert_serving.server.cluster import remote_child
from bert_serving.server.cluster.interface import ActorLost, Resources
from bert_serving.server.cluster.launcher import ClusterLauncher
from bert_serving.server.cluster.remote_child import RemoteChild
from bert_serving.server.parent.child_factory import ExportedGraph
from bert_serving.server.parent.children import Children
from bert_serving.server.parent.endpoints import Endpoints, Ports
from bert_serving.server.process.child import EXIT_DISCONNECTED
from bert_serving.server.process.launcher import ChildSpec
from bert_serving.server.process.restarts import DEFAULT_POLICY, RestartPolicy, Restarts
from bert_serving.server.process.states import ChildState
from bert_serving.server.process.supervisor import ChildSlot, Supervisor
from bert_serving.server.process.watch import ChildFailed
from bert_serving.server.transport import Reactor
from support.fake_cluster import FakeActor, FakeCluster
from support.serving import fake_path

pytestmark = pytest.mark.slow


class Bench:
    """A supervisor with a slot whose children run on a cluster, and do what `tests/support/odd_children.py` says."""

    def __init__(self, **nodes: float) -> None:
        self.cluster = FakeCluster(**nodes)
        self.launcher = ClusterLauncher(self.cluster, Resources(cpus=1, gpus=0))
        self.reactor = Reactor()
        self.supervisor = Supervisor(self.reactor, hang_s=60)
        self.what: dict[str, Any] = {'what': 'sleep'}
        self.ready: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.lost: list[tuple[str, ChildFailed | None]] = []
        self.machines_lost: list[str] = []
        self.moved = 0
        self.slot = ChildSlot(
            spawn=self.spawn,
            on_ready=self.ready.append,
            on_heartbeat=self.heartbeats.append,
            on_lost=lambda how, error: self.lost.append((how, error)),
            on_given_up=lambda _how: None,
            on_leaving=self.leave,
            on_moved=self.move,
            on_machine_lost=self.machines_lost.append,
            restarts=Restarts(RestartPolicy(first_pause_s=0.01)),
        )

    def spawn(self) -> RemoteChild:
        config = {'context': 'ODD', 'verbose': False, 'temp_dirs': [], **self.what}
        return self.launcher.make(ChildSpec('support.odd_children', 'ODD', config, {'PYTHONPATH': fake_path()}))

    def leave(self) -> None:
        assert self.slot.child is not None
        self.slot.child.kill(expected=True)

    def move(self) -> None:
        self.moved += 1

    def run_until(self, condition: Callable[[], bool], within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, 'nothing has come of it'
            self.reactor.run_once(20)
            self.supervisor.tick()

    @property
    def status(self) -> dict[str, Any]:
        return self.slot.describe()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(first=1)
    yield bench
    bench.supervisor.kill_all()
    assert bench.supervisor.num_process == 0
    bench.cluster.close()


def test_a_child_waits_for_room_and_says_for_what(bench: Bench) -> None:
    bench.cluster.nodes.clear()
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bench.status['state'] == 'waiting')
    assert bench.status == {'state': 'waiting', 'pid': None, 'restarts': 0, 'waits_for': 'num_cpus=1 num_gpus=0'}
    bench.cluster.add_node('first', 1)
    bench.run_until(lambda: bool(bench.ready and bench.heartbeats))
    pid = bench.status.pop('pid')
    assert bench.status == {'state': 'ready', 'pid': pid, 'restarts': 0, 'node': 'first', 'address': '127.0.0.1'}
    assert isinstance(pid, int)


def test_a_child_that_crashes_is_placed_again_and_its_exit_is_told(bench: Bench) -> None:
    bench.what = {'what': 'crash'}
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: len(bench.lost) == 1)
    how, error = bench.lost[0]
    assert how == 'ODD ended with exit code 70 (ZeroDivisionError: division by zero)'
    assert isinstance(error, ChildFailed)
    bench.what = {'what': 'sleep'}
    bench.run_until(lambda: bool(bench.ready))


def test_a_child_is_lost_with_its_node_and_waits_for_another(bench: Bench) -> None:
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bool(bench.ready))
    bench.cluster.remove_node('first')
    bench.run_until(lambda: bool(bench.machines_lost))
    assert bench.machines_lost == ['ODD was lost with its actor: the node first died']
    assert bench.lost == [], 'it did not crash'
    bench.run_until(lambda: bench.status['state'] == 'waiting')
    bench.cluster.add_node('second', 1)
    bench.run_until(lambda: len(bench.ready) == 2)
    assert (bench.status['node'], bench.status['restarts']) == ('second', 1)


def test_a_child_whose_node_is_drained_moves_and_that_is_no_crash(bench: Bench) -> None:
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bool(bench.ready))
    bench.cluster.add_node('second', 1)
    bench.cluster.draining.add('first')
    bench.run_until(lambda: len(bench.ready) == 2)
    assert (bench.status['node'], bench.status['restarts'], bench.lost, bench.moved) == ('second', 0, [], 1)


def test_a_child_that_is_stopped_is_killed_where_it_is(bench: Bench) -> None:
    bench.supervisor = Supervisor(bench.reactor, hang_s=2)
    bench.what = {'what': 'stop'}
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bool(bench.lost))
    assert bench.lost[0][0].startswith('ODD sent no heartbeat for')


def test_a_node_with_another_release_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_child, 'RELEASE', '9.9.9')
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bool(bench.lost))
    assert 'and this server is 9.9.9: install the same release there' in bench.lost[0][0]


def test_a_file_that_is_missing_keeps_a_child_from_its_start(bench: Bench) -> None:
    spawn = bench.spawn

    def spawn_with_file() -> RemoteChild:
        child = spawn()
        child.spec = ChildSpec('m', 'ODD', {}, {}, ('/no/such/file',))
        return child

    bench.slot.spawn = spawn_with_file
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bool(bench.lost))
    assert 'No such file' in bench.lost[0][0]


def test_a_child_that_has_lost_its_connection_has_not_crashed(bench: Bench) -> None:
    bench.what = {'what': 'exit', 'code': EXIT_DISCONNECTED}
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bool(bench.machines_lost))
    assert (bench.machines_lost, bench.lost) == (['ODD lost its connection to the server'], [])


def test_a_child_that_waits_for_a_connection_does_not_delay_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray takes a minute to find out that no cluster answers, and the call cannot be interrupted."""
    is_placing, is_over = threading.Event(), threading.Event()

    def place(_resources: Resources) -> FakeActor:
        is_placing.set()
        is_over.wait(60)
        raise ActorLost('cannot connect to the cluster')

    monkeypatch.setattr(bench.cluster, 'place', place)
    bench.supervisor.supervise(bench.slot)
    assert is_placing.wait(20)
    bench.supervisor.kill_all()
    assert bench.supervisor.num_process == 0
    is_over.set()


def test_a_child_that_waits_can_be_released(bench: Bench) -> None:
    bench.cluster.nodes.clear()
    bench.supervisor.supervise(bench.slot)
    bench.run_until(lambda: bench.status['state'] == 'waiting')
    children = bench.supervisor.release([bench.slot])
    bench.run_until(lambda: not bench.supervisor.are_alive(children))
    assert bench.lost == []


def test_without_a_thread_to_follow_it_the_start_of_a_child_has_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = os.listdir('/proc/self/fd')
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse)
        bench.supervisor.supervise(bench.slot)
    assert bench.lost == [("ODD could not be started: [Errno 11] can't start new thread", None)]
    assert os.listdir('/proc/self/fd') == before
    bench.run_until(lambda: bool(bench.ready))


def test_children_that_a_cluster_kills_slowly_end_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with many workers on a cluster took seconds for each of them to stop at once."""
    kill, barrier = FakeActor.kill, threading.Barrier(2)

    def kill_together(actor: FakeActor) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            barrier.wait(10)
        kill(actor)

    bench.cluster.nodes.clear()
    other = Bench()
    other.supervisor, other.launcher = bench.supervisor, bench.launcher
    for each in (bench, other):
        bench.supervisor.supervise(each.slot)
    bench.run_until(lambda: bench.status['state'] == other.status['state'] == 'waiting')
    bench.run_until(lambda: len(bench.cluster.actors) == 2)
    monkeypatch.setattr(FakeActor, 'kill', kill_together)
    bench.supervisor.kill_all()
    assert not barrier.broken


def test_a_worker_whose_node_is_drained_before_the_ventilator_knows_it_is_killed() -> None:
    """Its report that it is ready can come just behind, and already counts for the state of the child."""
    ventilator = Mock()
    children = Children(
        Mock(),
        Endpoints('folder', remote=range(1)),
        Ports(1, 2, None),
        Mock(),
        ventilator,
        restart_policy=DEFAULT_POLICY,
        is_starting=lambda: False,
        on_ready=lambda: None,
    )
    children.start(ExportedGraph('graph', ''), devices=[-1])
    slot = children.workers[0]
    child = slot.child = Mock(state=ChildState.READY)
    slot.on_leaving()
    child.kill.assert_called_once_with(expected=True)
    ventilator.retire_worker.assert_not_called()
