"""The Ray cluster on which a server places its workers."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
from typing import Any

import numpy as np
import ray

from ..errors import StartError
from .interface import ActorLost, Resources
from .ray_host import RayHost

logger = logging.getLogger(__name__)

KILL_S = 2.0
"""Seconds that a host has to kill its worker, before it is killed itself."""

CONCURRENCY = 4
"""The number of a host's methods that can run at once."""

MOST_LINES = 3
"""The maximum lines of a Ray error that the log shows."""

_LISTED = ('class_name:', 'actor_id:', 'pid:', 'namespace:', 'ip:', 'name:')

LEFT = 'the server has left the cluster'

CLIENT = 'ray://'
"""The beginning of the address of Ray's client server, for clients that are not on a node."""


class RayCluster:
    """A Ray cluster. Thread-safe."""

    def __init__(self, address: str) -> None:
        """Connect to the cluster at `address`: auto, ray://HOST:PORT, or HOST:PORT.

        Do not call this in the main thread, where Ray would replace the handler of SIGTERM.

        Raises:
            StartError: no cluster answers there.
        """
        self._address = address
        self._is_own = not ray.is_initialized()
        self._is_closed = False
        self._is_client = address.startswith(CLIENT)
        self._lock = threading.Lock()  # guards the connection
        self._connection = 0
        if self._is_own:
            try:
                self._join()
            except Exception as error:  # ConnectionError, ValueError, RuntimeError, and exceptions of grpc
                raise StartError(
                    '-ray %s: cannot connect to a Ray cluster (%s): start one with "ray start --head", or give its address'
                    % (address, _reason_of(error))
                ) from None
        self._host = ray.remote(RayHost)  # once: the head of the cluster keeps each such class

    def _join(self) -> None:
        ray.init(self._address, configure_logging=False, log_to_driver=True)

    def connect(self) -> int:
        """Connect again if the connection is lost, which happens only to clients of Ray (`ray://`).

        Returns:
            The number of the connection. A new one has none of the buffers and actors of the one before.

        Raises:
            ActorLost: the server has left the cluster, or cannot reach it.
        """
        with self._lock:
            if ray.is_initialized():
                return self._connection
            if self._is_closed or not self._is_client:
                raise ActorLost(LEFT)  # otherwise Ray would start its own cluster on this machine
            try:
                self._join()
            except Exception as error:
                raise ActorLost('cannot connect to the cluster: %s' % _reason_of(error)) from None
            self._connection += 1
            self._host = ray.remote(RayHost)
            logger.info('reconnected to the cluster')
            if self._is_closed:
                ray.shutdown()
                raise ActorLost(LEFT)
            return self._connection

    @property
    def own_address(self) -> str:
        """The address at which the nodes reach this machine, taken from the interface that it uses to reach them."""
        if not self._is_client:
            return str(ray.util.get_node_ip_address())
        host, _, port = self._address.removeprefix(CLIENT).rpartition(':')
        with contextlib.suppress(OSError):
            family, kind, _, _, where = socket.getaddrinfo(host.strip('[]'), port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind) as probe:
                probe.connect(where)  # sends nothing
                return str(probe.getsockname()[0])
        return '127.0.0.1'

    def put(self, content: Any) -> Any:
        """Keep a buffer in the object store, and return its reference.

        Raises:
            ActorLost: the server has left the cluster, or cannot reach it.
        """
        self.connect()
        return ray.put(np.frombuffer(content, np.uint8) if len(content) else np.empty(0, np.uint8))

    def place(self, resources: Resources) -> RayActor:
        """Let Ray find a node with these resources and start a host there, spread over all nodes.

        Raises:
            ActorLost: the server has left the cluster, or cannot reach it.
        """
        self.connect()
        options = {
            'num_cpus': resources.cpus,
            'num_gpus': resources.gpus,
            'scheduling_strategy': 'SPREAD',
            'max_concurrency': CONCURRENCY,
            'max_restarts': 0,  # the supervisor places another one
        }
        return RayActor(self._host.options(**options).remote(), self._is_client)

    def close(self) -> None:
        """Leave the cluster, unless the user's program had already joined it."""
        self._is_closed = True
        if self._is_own:
            ray.shutdown()


class RayActor:
    """A `RayHost` that Ray has placed, or will place."""

    def __init__(self, handle: Any, is_client: bool) -> None:
        self._handle = handle
        self._is_client = is_client

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the host, and wait for its result.

        Raises:
            ActorLost: Ray has lost the actor, the server has left the cluster, or the method has raised an exception.
        """
        _check_initialized()
        try:
            return ray.get(getattr(self._handle, method).remote(*arguments))
        except ray.exceptions.RayError as error:
            raise ActorLost(_explain(error)) from None
        except Exception as error:  # a client of Ray whose connection fails raises ConnectionError and others
            if self._is_client:
                raise ActorLost('the connection to the cluster has failed: %s' % _reason_of(error)) from None
            raise

    def kill(self) -> None:
        """Kill the worker, and then the actor."""
        with contextlib.suppress(Exception):
            _check_initialized()
            ray.get(self._handle.kill.remote(), timeout=KILL_S)
        with contextlib.suppress(Exception):
            _check_initialized()
            ray.kill(self._handle)


def _check_initialized() -> None:
    """Raise ActorLost if the server has left the cluster, where Ray would otherwise start its own on this machine."""
    if not ray.is_initialized():
        raise ActorLost(LEFT)


def _reason_of(error: Exception) -> str:
    """Return the reason for an error on one line: the details of a gRPC error, or else the first line."""
    text = str(error)
    found = re.search(r'details = "(.+)"', text)
    return found[1] if found else text.partition('\n')[0] or type(error).__name__


def _explain(error: Exception) -> str:
    """Return a Ray error on one line, without the ids that Ray lists in it."""
    lines = [line.strip() for line in str(error).splitlines()]
    words = [line for line in lines if line and not line.startswith(_LISTED)]
    return ' '.join(words[:MOST_LINES]) or type(error).__name__
