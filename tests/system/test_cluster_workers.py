"""A server whose workers run on a cluster, which is a fake: its nodes come and go under load, and nothing is lost."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from bert_serving.server import BertServer
from bert_serving.server.errors import UsageError
from bert_serving.server.helper import get_args_parser
from faults.chaos import Material
from support.cluster_load import WORDS, ask_while, states_of, wait_for_workers
from support.fake_cluster import FakeCluster
from support.serving import SMALL_MODEL, FakeServer, connect
from support.waiting import wait_until

pytestmark = pytest.mark.slow

Serve = Callable[..., BertServer]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(a=2, b=2)


@pytest.fixture
def serve(cluster: FakeCluster) -> Iterator[Serve]:
    servers: list[BertServer] = []

    class ClusterServer(FakeServer):
        connect_to_cluster = staticmethod(lambda _address: cluster)

    def start(*words: str) -> BertServer:
        common = ('-cpu', '-port', '0', '-port_out', '0', '-model_dir', SMALL_MODEL, '-ray', 'auto')
        servers.append(ClusterServer(get_args_parser().parse_args([*common, *words])))
        servers[-1].start()
        servers[-1].wait_until_ready()
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    assert cluster.is_closed
    assert cluster.nodes_of_workers() == []


def test_nothing_is_lost_while_nodes_die_and_come_and_the_sink_dies(serve: Serve, cluster: FakeCluster) -> None:
    server = serve('-num_worker', '4', '-max_batch_size', '16')
    wait_for_workers(server, ready=4)
    assert cluster.num_put == 1, 'the vocabulary travels once, not once for each worker; the fake graph is no file'
    assert sorted(cluster.nodes_of_workers()) == ['a', 'a', 'b', 'b']
    material = Material(server, WORDS, size=500)

    def kill_sink() -> None:
        pid = server._children._sink.child.pid
        os.kill(pid, signal.SIGKILL)

    changes = [lambda: cluster.remove_node('a'), lambda: cluster.add_node('c', 2), kill_sink]
    outcome = ask_while(server, material, requests=400, clients=4, changes=changes)
    assert outcome.counts['answered'] == 400, outcome.errors
    assert set(+outcome.counts) == {'answered'}, outcome.errors
    wait_for_workers(server, ready=4)
    assert sorted(cluster.nodes_of_workers()) == ['b', 'b', 'c', 'c']


def test_a_server_is_ready_with_one_worker_and_says_what_the_others_wait_for(
    serve: Serve, cluster: FakeCluster
) -> None:
    cluster.nodes = {'a': 1}
    server = serve('-num_worker', '2')
    wait_for_workers(server, ready=1, waiting=1)
    with connect(server) as client:
        (ready, waiting) = sorted(client.server_status['workers'], key=lambda worker: worker['state'])
        assert (ready['state'], ready['node'], ready['address']) == ('ready', 'a', '127.0.0.1')
        assert (waiting['state'], waiting['pid']) == ('waiting', None)
        assert waiting['waits_for'] == 'num_cpus=1 num_gpus=0'
        cluster.add_node('b', 1)
        wait_for_workers(server, ready=2)
        cluster.draining.add('a')  # the worker finishes, and then waits: there is no room elsewhere
        wait_for_workers(server, ready=1, waiting=1)
        assert client.encode(['a text']).shape == (1, 3)
        status = client.server_status
        assert status['statistic']['num_worker_restart'] == status['statistic']['num_requeued_job'] == 0


def test_workers_on_this_machine_and_on_a_cluster_answer_together(serve: Serve, cluster: FakeCluster) -> None:
    server = serve('-num_worker', '1', '-ray_num_worker', '1')
    wait_for_workers(server, ready=2)
    endpoints = server._endpoints.workers
    assert endpoints[0].startswith('ipc://')
    assert endpoints[1].startswith('tcp:worker-1-')
    with connect(server) as client:
        assert [worker.get('node') for worker in client.server_status['workers']] in ([None, 'a'], [None, 'b'])
        for node in list(cluster.nodes):
            cluster.remove_node(node)
        wait_until(lambda: states_of(server) == ['ready', 'waiting'])
        assert client.encode(['a text'] * 40).shape == (40, 3)


def test_without_ray_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ('-cpu', '-port', '0', '-port_out', '0', '-model_dir', SMALL_MODEL, '-ray', 'auto')
    find = importlib.util.find_spec
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None if name == 'ray' else find(name))
    server = FakeServer(get_args_parser().parse_args(words))
    server.start()
    with pytest.raises(UsageError, match=r"pip install 'bert-serving-server\[ray\]'"):
        server.wait_until_ready()
    server.join()
