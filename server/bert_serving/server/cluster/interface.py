"""The interface between a launcher and a cluster that places actors, which a test can fake. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that each worker takes from its node."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        """Return the resources in the format of the log and the status: `num_cpus=1 num_gpus=0.5`."""
        return 'num_cpus=%g num_gpus=%g' % (self.cpus, self.gpus)


class ActorLost(Exception):
    """The cluster has lost an actor, its process or its node, or never placed it. The message says how."""


class Actor(Protocol):
    """A `Host` that the cluster has placed on a node, or that waits for resources. Thread-safe."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the host, and wait for its result. The first call also waits until the actor is placed.

        Raises:
            ActorLost: the actor is gone, or the method has raised an exception.
        """

    def kill(self) -> None:
        """Kill the process of the worker, and then the actor. Cancel the placement of an actor that waits."""


class Cluster(Protocol):
    """A cluster to which this process is connected. Thread-safe."""

    @property
    def own_address(self) -> str:
        """The address at which the nodes reach this machine, as far as the cluster knows it."""

    def connect(self) -> int:
        """Connect again if the connection is lost, and return the number of the connection.

        A new connection has none of the buffers and actors of the one before.

        Raises:
            ActorLost: the server has left the cluster, or cannot reach it.
        """

    def put(self, content: Any) -> Any:
        """Keep a buffer in the cluster, and return the reference that `Host.fetch` takes on any node.

        Raises:
            ActorLost: the server has left the cluster, or cannot reach it.
        """

    def place(self, resources: Resources) -> Actor:
        """Let the cluster find a node with these resources, and start a host there.

        Raises:
            ActorLost: the server has left the cluster, or cannot reach it.
        """

    def close(self) -> None:
        """Leave the cluster, which ends all actors that were placed there. Later calls from other threads fail."""
