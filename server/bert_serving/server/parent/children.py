"""The children that a server keeps running: the sink, the workers and the HTTP proxy.

`Children` puts each of them into a slot of the supervisor. When one becomes ready or is lost, it decides which
endpoints change, what to tell the ventilator, and whether the server can continue.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .. import descriptors
from ..errors import ChildDied
from ..process.child import Child
from ..process.reports import Payload
from ..process.restarts import RestartPolicy, Restarts
from ..process.states import SlotState
from ..process.supervisor import ChildSlot, Supervisor
from ..process.watch import ChildFailed
from ..ventilator.ventilator import Ventilator
from .child_factory import ChildFactory, ExportedGraph
from .counters import ChildCounters
from .endpoints import Endpoints, Ports
from .remote_workers import RemoteWorkers

logger = logging.getLogger(__name__)

SINK_STOP_S = 5
"""Seconds that the sink can take at the end to deliver published replies."""

CLUSTER_POLICY = RestartPolicy(max_failed_starts=10, min_trying_s=math.inf)
"""For the workers on a cluster, whose nodes come and go: one that has been ready is never given up."""


class Children:
    """The sink, the workers and the HTTP proxy of one server. For the server's thread only."""

    def __init__(
        self,
        factory: ChildFactory,
        endpoints: Endpoints,
        ports: Ports,
        supervisor: Supervisor,
        ventilator: Ventilator,
        *,
        restart_policy: RestartPolicy,
        is_starting: Callable[[], bool],
        on_ready: Callable[[], None],
        remote: RemoteWorkers | None = None,
    ) -> None:
        """`is_starting` returns whether the server is starting. `on_ready` is called when a child becomes ready.

        `remote` are the workers on a cluster, or None.
        """
        self._remote = remote
        self._factory = factory
        self._endpoints = endpoints
        self._ports = ports
        self._supervisor = supervisor
        self._ventilator = ventilator
        self._restart_policy = restart_policy
        self._is_starting = is_starting
        self._on_ready = on_ready
        self._counters = ChildCounters()
        self._sink: ChildSlot | None = None
        self._workers: dict[int, ChildSlot] = {}
        self._http: ChildSlot | None = None

    # ---- start

    def start(self, graph: ExportedGraph, devices: Sequence[int]) -> None:
        """Start the sink, and a worker with `graph` for each of `devices`. HTTP follows when the sink is ready.

        A device is a GPU id, or negative for the CPU.
        """
        places = [self._describe_device(worker, device) for worker, device in enumerate(devices)]
        logger.info('device map: %s', ', '.join(places))
        self._sink = ChildSlot(
            spawn=partial(self._factory.sink, linger_ms=1000 * SINK_STOP_S),
            on_ready=self._on_sink_ready,
            on_heartbeat=self._counters.update_sink,
            on_lost=self._on_sink_lost,
            on_given_up=self._on_sink_given_up,
            restarts=Restarts(self._restart_policy),
        )
        self._workers = {worker: self._make_worker_slot(worker, graph) for worker in range(len(devices))}
        logger.info('start the sink and %d worker%s, could take a while...', len(devices), 's' * (len(devices) > 1))
        for slot in (self._sink, *self._workers.values()):
            self._supervisor.supervise(slot)

    def _make_worker_slot(self, worker: int, graph: ExportedGraph) -> ChildSlot:
        is_remote = self._is_remote(worker)
        return ChildSlot(
            spawn=partial(self._spawn_worker, worker, graph),
            on_ready=partial(self._on_worker_ready, worker),
            on_heartbeat=partial(self._counters.update_worker, worker),
            on_lost=partial(self._on_worker_lost, worker),
            on_given_up=self._on_remote_worker_given_up if is_remote else self._on_worker_given_up,
            on_leaving=partial(self._on_worker_leaving, worker),
            on_moved=partial(self._on_worker_moved, worker),
            on_machine_lost=partial(self._on_worker_lost, worker, error=None, with_machine=True),
            restarts=Restarts(CLUSTER_POLICY if is_remote else self._restart_policy),
        )

    def _is_remote(self, worker: int) -> bool:
        return self._remote is not None and worker in self._remote.plan.workers

    def _start_http(self) -> None:
        logger.info('start the HTTP server...')
        self._http = ChildSlot(
            spawn=self._factory.http,
            on_ready=self._on_http_ready,
            on_lost=self._on_http_lost,
            on_given_up=self._on_http_given_up,
            restarts=Restarts(self._restart_policy),
        )
        self._supervisor.supervise(self._http)

    @property
    def all_ready(self) -> bool:
        """Whether every child is ready, including the HTTP proxy if there is one.

        Of the workers of a server with some on a cluster, one is enough: others come as the cluster finds resources.
        """
        slots: list[ChildSlot | None] = [self._sink]
        if self._remote is None:
            slots += self._workers.values()
        elif not any(slot.state is SlotState.READY for slot in self._workers.values()):
            return False
        if self._ports.http_port is not None:
            slots.append(self._http)
        return all(slot is not None and slot.state is SlotState.READY for slot in slots)

    # ---- the sink

    def _on_sink_ready(self, payload: Payload) -> None:
        self._ports.port_out = payload['port_out']
        logger.info('requests come in on port %d, answers go out on port %d', self._ports.port, self._ports.port_out)
        remote = self._remote
        self._ventilator.sink_ready(None if remote is None else remote.ring.sink_endpoint(payload['ring_port']))
        if self._ports.http_port is not None and self._http is None:
            self._start_http()
        self._on_ready()

    def _on_sink_lost(self, how: str, error: ChildFailed | None) -> None:
        self._raise_while_starting(error)
        logger.error('%s; unpublished requests are computed again', how)
        self._counters.sink_lost()
        self._endpoints.move_sink()
        with descriptors.reserve():
            self._ventilator.replace_sink(self._endpoints.feedback, self._endpoints.sink)

    def _on_sink_given_up(self, how: str) -> None:
        raise ChildDied(how)

    # ---- the workers

    def _spawn_worker(self, worker: int, graph: ExportedGraph) -> Child:
        self._endpoints.move_worker(worker)
        return self._factory.worker(worker, graph)

    def _on_worker_ready(self, worker: int, _payload: Payload) -> None:
        with descriptors.reserve():
            self._ventilator.add_worker(worker, self._endpoints.workers[worker])
        self._on_ready()

    def _on_worker_lost(self, worker: int, how: str, error: ChildFailed | None, with_machine: bool = False) -> None:
        if not self._is_remote(worker):  # another node may do better
            self._raise_while_starting(error)
        logger.error('%s; its jobs go to other workers', how)
        self._counters.worker_lost(worker)
        self._ventilator.remove_worker(worker, with_machine)

    def _on_worker_leaving(self, worker: int) -> None:
        """Let a worker whose node is to be given up finish what it holds, and another one be placed."""
        slot = self._workers[worker]
        child = slot.child
        if child is None:
            return
        if slot.state is not SlotState.READY:  # the child may have said that it is, but the ventilator not heard of it
            child.kill(expected=True)
            return
        logger.info('%s leaves its node, which is drained: it finishes its jobs', child.name)
        self._ventilator.retire_worker(worker, child.expect_exit)

    def _on_worker_moved(self, worker: int) -> None:
        logger.info('worker %d has left its node: another is placed', worker)
        self._counters.worker_lost(worker)
        self._ventilator.remove_worker(worker)

    def _on_worker_given_up(self, how: str) -> None:
        if self._is_starting():
            raise ChildDied(how)
        self._on_remote_worker_given_up(how)

    def _on_remote_worker_given_up(self, how: str) -> None:
        if all(slot.state is SlotState.GONE for slot in self._workers.values()):
            raise ChildDied('%s, and no worker is left' % how)
        logger.error('%s: the server continues without it', how)

    # ---- the HTTP proxy

    def _on_http_ready(self, payload: Payload) -> None:
        self._ports.http_port = payload['http_port']
        self._on_ready()

    def _on_http_lost(self, _how: str, error: ChildFailed | None) -> None:
        self._raise_while_starting(error)

    def _on_http_given_up(self, how: str) -> None:
        if self._is_starting():
            raise ChildDied(how)
        logger.error('%s: the server continues without HTTP', how)

    def _raise_while_starting(self, error: ChildFailed | None) -> None:
        """During startup, raise the error of a child that could not start, because a retry would fail, too."""
        if error is not None and self._is_starting():
            raise error

    # ---- stop

    def drain_http(self) -> list[Child]:
        """Tell the HTTP proxy to answer its requests and exit. Return it, if there is one."""
        children = self._supervisor.release([] if self._http is None else [self._http])
        for child in children:
            child.terminate()
        return children

    def stop_workers(self) -> list[Child]:
        """Tell the workers to finish their jobs and exit, and return them."""
        children = self._supervisor.release(self._workers.values())
        self._ventilator.stop_workers()
        return children

    def stop_sink(self) -> list[Child]:
        """Tell the sink to deliver its replies and exit, and return it. The workers must have exited."""
        children = self._supervisor.release([] if self._sink is None else [self._sink])
        self._ventilator.stop_sink()
        return children

    # ---- status

    @property
    def workers(self) -> Mapping[int, ChildSlot]:
        """The slots of the workers, by number."""
        return self._workers

    def count_restarts(self) -> dict[str, int]:
        """Return the number of restarts of each kind of child, as keys of the status's `statistic`."""
        return {
            'num_worker_restart': sum(slot.restarts.count for slot in self._workers.values()),
            'num_sink_restart': 0 if self._sink is None else self._sink.restarts.count,
            'num_http_restart': 0 if self._http is None else self._http.restarts.count,
        }

    @property
    def truncated_rows(self) -> int:
        """The number of rows that the workers have truncated."""
        return self._counters.truncated_rows

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of the status's `statistic` about the children's work and restarts."""
        return {**self._counters.to_dict(), **self.count_restarts()}

    def _describe_device(self, worker: int, device: int) -> str:
        name = 'cpu' if device < 0 else 'gpu %d' % device
        if self._is_remote(worker):
            name = 'a %s of the cluster' % ('cpu' if device < 0 else 'gpu')
        return 'worker %d -> %s' % (worker, name)
