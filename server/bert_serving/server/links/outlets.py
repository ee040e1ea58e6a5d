"""The outlets from the ventilator to its workers: a Unix socket to each local worker, and one port for all others.

For the ventilator's thread only. No send waits. Messages to a worker keep the order of the calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import zmq

from ..protocol.ring import RingMessage, SinkMoved, Stop, encode_ring_message
from ..transport import Context, Reactor, make_socket
from .ports import JobPort

REMOTE = 'tcp:'
"""The beginning of the endpoint of a remote worker. The worker's name at the port for jobs follows."""


class Outlet(Protocol):
    """The outlet to one worker."""

    def send(self, message: RingMessage) -> None:
        """Send a message."""
        ...

    def close(self) -> None:
        """Close the outlet."""
        ...


class LocalOutlet:
    """The outlet to a worker on this machine. A connecting socket has a queue immediately."""

    def __init__(self, context: Context, endpoint: str) -> None:
        self._socket = make_socket(context, zmq.PUSH)
        self._socket.connect(endpoint)

    def send(self, message: RingMessage) -> None:
        """Send a message."""
        self._socket.send_multipart(encode_ring_message(message), zmq.DONTWAIT, copy=False)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class RemoteOutlet:
    """The outlet to a worker on another machine. It keeps messages until the worker and the sink are ready."""

    def __init__(self, port: JobPort, name: str, sink: str | None) -> None:
        """`sink` is the endpoint for the worker's parts, or None while no sink is ready."""
        self._port = port
        self._name = name
        self._sink = sink
        self._kept: list[RingMessage] = []
        self._is_open = False
        self.look()

    def send(self, message: RingMessage) -> None:
        """Send a message, or keep it until the outlet is open."""
        if self._is_open:
            self._port.send(self._name, encode_ring_message(message))
        else:
            self._kept.append(message)

    def lose_sink(self) -> None:
        """Discard the kept messages, whose jobs will come again, and keep new messages until a sink is ready."""
        self._sink, self._is_open = None, False
        self._kept = [message for message in self._kept if isinstance(message, Stop)]

    def find_sink(self, endpoint: str) -> None:
        """Let the worker send its parts to `endpoint`."""
        self._sink = endpoint
        self.look()

    def look(self) -> None:
        """Send the kept messages, once the worker has greeted and a sink is ready."""
        if self._sink is None or self._is_open or not self._port.has(self._name):
            return
        self._is_open = True
        kept, self._kept = self._kept, []
        for message in (SinkMoved(self._sink), *kept):
            self.send(message)

    def close(self) -> None:
        """Forget the worker."""
        self._port.forget(self._name)


class Outlets:
    """The outlets to all workers, by their numbers."""

    def __init__(self) -> None:
        """Create outlets without a worker, and without a port for other machines."""
        self._outlets: dict[int, Outlet] = {}
        self._port: JobPort | None = None
        self._remote_sink: str | None = None

    def listen(self, port: JobPort, reactor: Reactor) -> None:
        """Reach the workers on other machines through `port`."""
        self._port = port
        reactor.add(port.socket, self._on_greetings)

    def __contains__(self, worker: int) -> bool:
        return worker in self._outlets

    def open(self, context: Context, worker: int, endpoint: str, sink: str) -> None:
        """Open the outlet to a worker. A worker on this machine sends its parts to `sink`."""
        if not endpoint.startswith(REMOTE):
            self._outlets[worker] = LocalOutlet(context, endpoint)
            self.send(worker, SinkMoved(sink))  # the sink that it was started with might be gone
        elif self._port is not None:
            self._outlets[worker] = RemoteOutlet(self._port, endpoint.removeprefix(REMOTE), self._remote_sink)

    def send(self, worker: int, message: RingMessage) -> None:
        """Send a message to a worker."""
        self._outlets[worker].send(message)

    def send_to_all(self, message: RingMessage) -> None:
        """Send a message to every worker."""
        for outlet in self._outlets.values():
            outlet.send(message)

    def move_sink(self, sink: str) -> None:
        """Tell the workers on this machine the endpoint of the next sink. `find_sink` tells the others later."""
        self._remote_sink = None
        for outlet in self._outlets.values():
            if isinstance(outlet, RemoteOutlet):
                outlet.lose_sink()
            else:
                outlet.send(SinkMoved(sink))

    def find_sink(self, endpoint: str) -> None:
        """Tell the workers on other machines the endpoint of the sink."""
        self._remote_sink = endpoint
        for outlet in self._remote:
            outlet.find_sink(endpoint)

    def close(self, worker: int) -> None:
        """Close the outlet to a worker."""
        self._outlets.pop(worker).close()

    @property
    def _remote(self) -> Iterator[RemoteOutlet]:
        return (outlet for outlet in self._outlets.values() if isinstance(outlet, RemoteOutlet))

    def _on_greetings(self) -> None:
        if self._port is not None:
            self._port.read_greetings()
        for outlet in self._remote:
            outlet.look()
