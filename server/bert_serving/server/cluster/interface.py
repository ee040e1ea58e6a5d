"""The interface of a cluster that places actors: what a launcher needs of it, and a test can fake. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Resources:
    """What each worker takes of its node."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        """Return them as the log and the status have them: `num_cpus=1 num_gpus=0.5`."""
        return 'num_cpus=%g num_gpus=%g' % (self.cpus, self.gpus)


class ActorLost(Exception):
    """An actor is gone, with its process or its node, or was never placed; the message says how."""


class Actor(Protocol):
    """A `Host` that is placed on a node, or waits for room on one. Any thread may use it."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the host, and wait for what it returns; that of the first call, for room on a node.

        Raises:
            ActorLost: the actor is gone, or the method has raised an exception.
        """

    def kill(self) -> None:
        """Kill the process of the worker, and then the actor, or give up to look for room for it."""


class Cluster(Protocol):
    """A cluster to which this process is connected. Any thread may use it."""

    @property
    def own_address(self) -> str:
        """The address at which the nodes reach this machine, as far as that is known."""

    def put(self, content: Any) -> Any:
        """Keep a buffer in the cluster; return what `Host.fetch` on any node gets it by.

        Raises:
            ActorLost: the cluster was left.
        """

    def place(self, resources: Resources) -> Actor:
        """Let the cluster look for a node with room, and start a host there.

        Raises:
            ActorLost: the cluster was left.
        """

    def close(self) -> None:
        """Leave the cluster; what was placed there ends. Calls of other threads fail from now on."""
