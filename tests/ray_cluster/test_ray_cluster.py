"""Workers on a real cluster of Ray: nodes die, come and are drained under load, and nothing is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from bert_serving.server import BertServer
from bert_serving.server.cluster.interface import ActorLost, Resources
from faults.chaos import Material
from support.cluster_load import WORDS, ask_while, states_of, wait_for_workers
from support.free_port import free_port
from support.processes import fake_server
from support.serving import SMALL_MODEL, FakeServer, ServerProcess, connect
from support.waiting import wait_until

ray = pytest.importorskip('ray')

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore'), pytest.mark.timeout(900)]

Serve = Callable[..., BertServer]

REQUESTS = int(os.environ.get('BERT_SERVING_RAY_REQUESTS', '5000'))


@pytest.mark.parametrize('server_class', [FakeServer, BertServer], ids=['fake', 'real'])
def test_nothing_is_lost_while_two_nodes_die_and_one_comes(
    serve: Serve, nodes: Any, server_class: type[BertServer]
) -> None:
    three = [nodes.add(2) for _ in range(3)]
    server = serve(server_class, '-ray', nodes.address, '-num_worker', '6', '-max_batch_size', '64')
    wait_for_workers(server, ready=6)
    material = Material(server, WORDS, size=2000)
    changes = [lambda: nodes.remove(three[0]), lambda: nodes.remove(three[1]), lambda: nodes.add(2)]
    started = time.monotonic()
    outcome = ask_while(server, material, REQUESTS, clients=16, changes=changes)
    print('%s in %.0f s' % (dict(outcome.counts), time.monotonic() - started), flush=True)
    assert outcome.counts['answered'] == REQUESTS, outcome.errors[:10]
    assert set(+outcome.counts) == {'answered'}, outcome.errors[:10]
    wait_for_workers(server, ready=4, waiting=2)
    with connect(server) as client:
        status = client.server_status
    print({name: status['statistic'][name] for name in ('num_requeued_job', 'num_worker_restart')}, flush=True)
    assert len({worker.get('node') for worker in status['workers'] if worker['state'] == 'ready'}) == 2


@pytest.mark.parametrize('kind', ['support.fake_cli', 'bert_serving.server.cli'])
def test_a_server_that_is_a_client_of_the_cluster_outlives_a_node_and_its_connection(nodes: Any, kind: str) -> None:
    """With `ray://`, Ray ends the workers when it loses the client that has placed them."""
    first = nodes.add(2)
    nodes.add(2)
    words = ('-model_dir', SMALL_MODEL, '-ray', nodes.client_address, '-num_worker', '3')
    with ServerProcess(*words, module=kind) as server:
        server.wait_until_ready()
        with connect(server) as client:

            def states() -> list[str]:
                return [worker['state'] for worker in client.server_status['workers']]

            wait_until(lambda: states() == ['ready'] * 3, 60)
            vectors = client.encode(WORDS)
            nodes.remove(first)
            assert (client.encode(WORDS) == vectors).all()
            wait_until(lambda: sorted(states()) == ['ready', 'ready', 'waiting'], 60)
            assert nodes.end_clients()
            wait_until(lambda: 'reconnected to the cluster' in server.log, 90)  # Ray tries for half a minute
            assert np.allclose(client.encode(WORDS), vectors, atol=1e-5)
            assert client.server_status['statistic']['num_poisoned_request'] == 0
        stopped_at = time.monotonic()
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert time.monotonic() - stopped_at < 10
    assert 'Traceback' not in server.log


def test_an_address_at_which_no_cluster_takes_clients_is_one_line() -> None:
    with fake_server('-ray', 'ray://127.0.0.1:%d' % free_port()) as server:
        assert server.process.wait(70) == 1
        (line,) = [line for line in server.log.splitlines() if ' E:' in line]
        assert 'cannot connect to a Ray cluster' in line


def test_the_workers_of_a_drained_node_finish_and_move(serve: Serve, nodes: Any) -> None:
    nodes.add(2)
    server = serve(FakeServer, '-ray', nodes.address, '-num_worker', '2', '-max_batch_size', '64')
    wait_for_workers(server, ready=2)
    material = Material(server, WORDS, size=500)
    (first,) = {slot.place['node'] for slot in server._children.workers.values()}

    def drain() -> None:
        nodes.add(2)
        is_accepted, reason = drain_node(nodes.address, first)
        assert is_accepted, reason

    outcome = ask_while(server, material, 500, clients=4, changes=[drain])
    assert outcome.counts['answered'] == 500, outcome.errors[:10]
    wait_until(lambda: first not in {slot.place.get('node') for slot in server._children.workers.values()})
    wait_for_workers(server, ready=2)
    with connect(server) as client:
        statistic = client.server_status['statistic']
    assert (statistic['num_requeued_job'], statistic['num_worker_restart']) == (0, 0)


def test_a_cluster_that_was_left_is_not_replaced_by_one_of_rays_own(nodes: Any) -> None:
    """The thread of a worker can be at its files, or at the end of its actor, when the server stops."""
    from bert_serving.server.cluster.ray_cluster import RayCluster

    cluster = RayCluster(nodes.address)
    actor = cluster.place(Resources(cpus=1, gpus=0))
    cluster.close()
    for call in (
        lambda: cluster.put(b'a file'),
        lambda: cluster.place(Resources(1, 0)),
        lambda: actor.call('describe'),
    ):
        with pytest.raises(ActorLost, match='the server has left the cluster'):
            call()
    actor.kill()
    assert not ray.is_initialized()


def drain_node(address: str, node: str) -> tuple[bool, str]:
    """Drain a node as `ray drain-node` does."""
    from ray._raylet import GcsClient
    from ray.core.generated import autoscaler_pb2

    reason = autoscaler_pb2.DrainNodeReason.Value('DRAIN_NODE_REASON_PREEMPTION')
    deadline_ms = int(1000 * (time.time() + 300))
    answer: tuple[bool, str] = GcsClient(address=address).drain_node(node, reason, 'a test', deadline_ms)
    return answer


def test_sixteen_workers_on_four_nodes_are_as_fast_as_sixteen_on_this_machine(
    serve: Serve, nodes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('FAKE_WORKER_SECONDS', '0.02')
    for _ in range(4):
        nodes.add(4)
    common = ('-max_batch_size', '32', '-num_worker', '16')
    here = serve(FakeServer, *common)
    there = serve(FakeServer, *common, '-ray', nodes.address)
    wait_for_workers(there, ready=16)
    rates: dict[str, list[float]] = {'here': [], 'there': []}
    for _ in range(int(os.environ.get('BERT_SERVING_RAY_ROUNDS', '7'))):
        rates['here'].append(rows_per_second(here))
        rates['there'].append(rows_per_second(there))
    best = {name: sorted(of_name)[len(of_name) // 2] for name, of_name in rates.items()}
    print({name: ['%.0f' % rate for rate in of_name] for name, of_name in rates.items()}, flush=True)
    print('median rows/s: %s, %.3f' % (best, best['there'] / best['here']), flush=True)
    assert states_of(there) == ['ready'] * 16
    assert best['there'] >= 0.95 * best['here']


def rows_per_second(server: BertServer, clients: int = 8, requests: int = 12, rows: int = 256) -> float:
    """The rows that clients get answered in a second, all together."""

    def ask(number: int) -> None:
        with connect(server, check_length=False) as client:
            for request in range(requests):
                client.encode(['the %d fox %d' % (number, request * rows + row) for row in range(rows)])

    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return clients * requests * rows / (time.monotonic() - started)
