"""What each child of a server is given: its config, as its `main` reads it, and its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..process.child import Child
from .endpoints import Endpoints
from .plan import Plan


class ChildMaker:
    """Makes the children of one server; none of them is started here."""

    def __init__(self, plan: Plan, endpoints: Endpoints, temp_dirs: Sequence[str]) -> None:
        """`temp_dirs` are the folders that a child removes when its parent has been killed."""
        self._plan = plan
        self._endpoints = endpoints
        self._temp_dirs = list(temp_dirs)

    def exporter(self, module: str, path: str) -> Child:
        """The one that writes the graph to `path`."""
        plan = self._plan
        return self._make(module, 'GRAPHOPT', {
            'settings': plan.settings.to_dict(),
            'model': plan.model.to_json(),
            'path': path,
            'on_gpu': all(device >= 0 for device in plan.devices.devices),
        }, {'CUDA_VISIBLE_DEVICES': '-1'})  # fmt: skip

    def sink(self, module: str, port_out: int, linger_ms: int, limits: Mapping[str, Any]) -> Child:
        """The one at the sink's endpoints of this moment."""
        return self._make(module, 'SINK', {
            'intake': self._endpoints.sink,
            'feedback': self._endpoints.feedback,
            'port_out': port_out,
            'linger_ms': linger_ms,
            'limits': {'open_bytes': _memory_bytes() // 3, **limits},
        })  # fmt: skip

    def worker(self, module: str, worker: int, graph: str) -> Child:
        """The one at the endpoint of `worker`, on the device that it has in the plan."""
        plan, device = self._plan, self._plan.devices.devices[worker]
        on_cpu = sum(other < 0 for other in plan.devices.devices)
        return self._make(module, 'WORKER-%d' % worker, {
            'settings': plan.settings.to_dict(),
            'worker': worker,
            'device': device,
            'threads': max(1, len(os.sched_getaffinity(0)) // on_cpu) if device < 0 else 2,
            'graph': graph,
            'vocab': plan.model.vocab,
            'lower_case': plan.model.lower_case,
            'max_position_embeddings': plan.model.config.max_position_embeddings,
            'intake': self._endpoints.workers[worker],
            'sink': self._endpoints.sink,
        }, {'CUDA_VISIBLE_DEVICES': str(device), 'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'})  # fmt: skip  # GPUtil's order

    def http(self, module: str, port: int, port_out: int, http_port: int | None) -> Child:
        """The HTTP proxy of the server at these ports."""
        return self._make(module, 'PROXY', {
            'settings': self._plan.settings.to_dict(),
            'ip': '127.0.0.1',
            'port': port,
            'port_out': port_out,
            'http_port': http_port,
        })  # fmt: skip

    def _make(
        self, module: str, context: str, config: dict[str, Any], environment: dict[str, str] | None = None
    ) -> Child:
        verbose = self._plan.settings.verbose
        about = {'context': context, 'verbose': verbose, 'temp_dirs': self._temp_dirs}
        chatter = {'TF_CPP_MIN_LOG_LEVEL': '0'} if verbose else {}
        return Child(module, context, {**about, **config}, {**chatter, **(environment or {})})


def _memory_bytes() -> int:
    """Of this machine."""
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
