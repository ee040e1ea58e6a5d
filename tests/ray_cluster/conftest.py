"""A real cluster of Ray on this machine: a head and nodes as separate raylets. In the nox session `ray`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from bert_serving.server import BertServer
from bert_serving.server.helper import get_args_parser
from support.free_port import free_port
from support.serving import SMALL_MODEL, fake_path

Serve = Callable[..., BertServer]

OBJECTS_BYTES = 200 << 20
"""The object store of each node."""


class RayNodes:
    """A cluster with a head that has no room for workers, and the nodes that a test adds."""

    def __init__(self) -> None:
        cluster_utils = pytest.importorskip('ray.cluster_utils')
        self._cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={
                'num_cpus': 0,
                'object_store_memory': OBJECTS_BYTES,
                'include_dashboard': False,
                'ray_client_server_port': (port := free_port()),
            },
        )
        self.address: str = self._cluster.address
        self.client_address = 'ray://127.0.0.1:%d' % port

    def add(self, cpus: float) -> Any:
        """Add a node with so many CPUs, and wait until it is there."""
        return self._cluster.add_node(num_cpus=cpus, object_store_memory=OBJECTS_BYTES)

    def remove(self, node: Any) -> None:
        """Kill a node and all that runs on it."""
        self._cluster.remove_node(node, allow_graceful=False)

    def end_clients(self) -> int:
        """Kill the processes of the head that act for its clients (`ray://`); return how many there were."""
        servers = [
            process
            for process in psutil.Process().children(recursive=True)
            if '--mode=specific-server' in process.cmdline()
        ]
        for process in servers:
            process.kill()
        return len(servers)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayNodes]:
    monkeypatch.setenv('PYTHONPATH', fake_path())  # the nodes inherit it
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    monkeypatch.setenv('RAY_health_check_period_ms', '1000')
    monkeypatch.setenv('RAY_health_check_failure_threshold', '3')
    nodes = RayNodes()
    yield nodes
    nodes.close()


@pytest.fixture
def serve(nodes: RayNodes) -> Iterator[Serve]:
    """Starts servers, which are ready when it returns, and are closed before the cluster is."""
    with contextlib.ExitStack() as stack:

        def start(server_class: type[BertServer], *words: str) -> BertServer:
            common = ('-cpu', '-port', '0', '-port_out', '0', '-model_dir', SMALL_MODEL)
            return stack.enter_context(server_class(get_args_parser().parse_args([*common, *words])))

        yield start
