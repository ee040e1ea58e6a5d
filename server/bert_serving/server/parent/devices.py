"""Which device each worker runs on: a GPU id, or -1 for the CPU. The only module that knows GPUtil.

Called by the server in the parent process, before any worker is started. The answer becomes a worker's
`CUDA_VISIBLE_DEVICES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

CPU = -1

MAX_LOAD = 0.9
MAX_MEMORY = 0.9
"""A GPU that is busier or fuller is not counted as free."""


@dataclass(frozen=True)
class DevicePlan:
    """The device of each worker, in the order of their ids, and what the person who started the server should know."""

    devices: tuple[int, ...]
    warnings: tuple[str, ...] = field(default=())


def free_gpus(most: int) -> list[int]:
    """The ids of at most `most` GPUs that are neither busy nor full, the emptiest first; [] where there is none.

    Raises:
        ImportError: GPUtil cannot be imported (it needs `distutils`: install setuptools on Python 3.12 and later).
    """
    import GPUtil

    ids: list[int] = GPUtil.getAvailable(order='memory', limit=most, maxLoad=MAX_LOAD, maxMemory=MAX_MEMORY)
    return ids


def plan_devices(
    num_worker: int, cpu: bool, device_map: Sequence[int], find_gpus: Callable[[int], list[int]] = free_gpus
) -> DevicePlan:
    """Give each of `num_worker` workers a device.

    `device_map` is cycled over the workers and cut to their number; without it the free GPUs are. With `cpu`, or if no
    GPU is free, all run on the CPU; a map of nothing but -1 asks for no GPU either.
    """
    on_cpu = (CPU,) * num_worker
    if cpu:
        return DevicePlan(on_cpu)
    if device_map and set(device_map) == {CPU}:
        return DevicePlan(on_cpu)
    try:
        gpus = find_gpus(num_worker)
    except ImportError as error:
        return DevicePlan(on_cpu, ('the GPUs cannot be listed (%s): all workers run on the CPU' % error,))
    if not gpus:
        return DevicePlan(on_cpu, ('no GPU is free: all workers run on the CPU; give -cpu if that is what you want',))
    warnings = []
    wanted = sum(device != CPU for device in device_map[:num_worker]) if device_map else num_worker
    if len(gpus) < wanted:
        warnings.append(
            'only %d GPU(s) are free for %d workers: some will share one, which may not scale and may run out of '
            'memory' % (len(gpus), wanted)
        )
    chosen = tuple(device_map) or tuple(gpus)
    return DevicePlan(tuple(chosen[worker % len(chosen)] for worker in range(num_worker)), tuple(warnings))
