"""Which workers run on a cluster, and what each takes there. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ..options.engines import ONNX_RUNTIME
from ..options.settings import Settings
from .devices import CPU

GPU_OF_NODE = 0
"""The device of a worker on a cluster that has a GPU: the first of those that the cluster gives it."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """The workers on a cluster: their numbers, and the CPUs and GPUs, or shares of one, that each takes."""

    workers: range
    cpus: float
    gpus: float

    @property
    def devices(self) -> tuple[int, ...]:
        """The device of each of these workers: the CPU, or a GPU of its node."""
        return (GPU_OF_NODE if self.gpus else CPU,) * len(self.workers)

    @property
    def threads(self) -> int:
        """With how many threads each of them computes on a CPU."""
        return max(1, int(self.cpus))


def num_local_workers(settings: Settings) -> int:
    """Return how many workers run on this machine."""
    return 0 if settings.ray is not None and settings.ray_num_worker is None else settings.num_worker


def plan_cluster(settings: Settings) -> ClusterPlan | None:
    """Return the plan for the workers on a cluster, whose numbers follow those of this machine; None without one."""
    if settings.ray is None:
        return None
    first = num_local_workers(settings)
    on_cpu = settings.cpu or settings.engine == ONNX_RUNTIME
    gpus = 1.0 if settings.ray_gpus is None else settings.ray_gpus
    count = settings.ray_num_worker or settings.num_worker
    return ClusterPlan(range(first, first + count), settings.ray_cpus, 0.0 if on_cpu else gpus)
