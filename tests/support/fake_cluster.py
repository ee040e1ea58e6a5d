"""A cluster without Ray: its nodes are names, and its hosts live in this process and start real worker processes."""

from __future__ import annotations

import threading
import time
from typing import Any

from bert_serving.server.cluster.host import Host
from bert_serving.server.cluster.interface import ActorLost, Resources

POLL_S = 0.02


class FakeHost(Host):
    """A host on a node of a `FakeCluster`."""

    def __init__(self, cluster: FakeCluster, node: str) -> None:
        super().__init__()
        self.cluster = cluster
        self.node = node

    def is_node_leaving(self) -> bool:
        return self.node in self.cluster.draining

    def where(self) -> tuple[str, str]:
        return self.node, '127.0.0.1'


class FakeActor:
    """A host that waits for room, has it, or has lost it with its node."""

    def __init__(self, cluster: FakeCluster, resources: Resources) -> None:
        self.cluster = cluster
        self.resources = resources
        self.host: FakeHost | None = None
        self.how_lost = ''

    def call(self, method: str, *arguments: Any) -> Any:
        while self.host is None and not self.how_lost:
            self.cluster.look_for_room(self)
            time.sleep(POLL_S)
        if not self.how_lost:
            answer = getattr(self.host, method)(*arguments)
        if self.how_lost:
            raise ActorLost(self.how_lost)
        return answer

    def kill(self) -> None:
        self.lose('it was killed')

    def lose(self, how: str) -> None:
        """Be lost as Ray's actors are: their processes end, and those of the workers with them."""
        self.how_lost = self.how_lost or how
        if self.host is not None:
            self.host.kill()
        self.cluster.forget(self)


class FakeCluster:
    """A cluster with room for so many CPUs on each of its nodes. Any thread may use it."""

    own_address = '127.0.0.1'

    def __init__(self, **nodes: float) -> None:
        self._lock = threading.RLock()
        self.nodes = dict(nodes)
        self.draining: set[str] = set()
        self.actors: list[FakeActor] = []
        self.num_put = 0
        self.num_connection = 1
        self.is_connected = True
        self.is_closed = False

    def connect(self) -> int:
        """Connect again, to a cluster that has forgotten everything, if a test has cut the connection."""
        if not self.is_connected:
            self.num_connection += 1
            self.is_connected = True
        return self.num_connection

    def put(self, content: Any) -> Any:
        self.num_put += 1
        return bytes(content)

    def place(self, resources: Resources) -> FakeActor:
        actor = FakeActor(self, resources)
        with self._lock:
            self.actors.append(actor)
        return actor

    def close(self) -> None:
        self.is_closed = True
        for actor in list(self.actors):
            actor.lose('the cluster was left')

    def look_for_room(self, actor: FakeActor) -> None:
        """Place an actor on the node with the most room, if it has enough."""
        with self._lock:
            free = {name: cpus for name, cpus in self.nodes.items() if name not in self.draining}
            for other in self.actors:
                if other.host is not None and other.host.node in free:
                    free[other.host.node] -= other.resources.cpus
            name = max(free, key=lambda each: free[each], default=None)
            if name is not None and free[name] >= actor.resources.cpus:
                actor.host = FakeHost(self, name)

    def forget(self, actor: FakeActor) -> None:
        with self._lock:
            if actor in self.actors:
                self.actors.remove(actor)

    def add_node(self, name: str, cpus: float) -> None:
        self.nodes[name] = cpus

    def remove_node(self, name: str) -> None:
        """Lose a node, and all that runs on it, at once."""
        with self._lock:
            del self.nodes[name]
            lost = [actor for actor in self.actors if actor.host is not None and actor.host.node == name]
        for actor in lost:
            actor.lose('the node %s died' % name)

    def nodes_of_workers(self) -> list[str]:
        """The nodes of the actors that have one."""
        with self._lock:
            return sorted(actor.host.node for actor in self.actors if actor.host is not None)
