"""Choose the device of each worker: a GPU id, or -1 for the CPU.

The parent process chooses the devices before it starts any worker. A worker gets its device in `CUDA_VISIBLE_DEVICES`.
Only this module imports GPUtil.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

CPU = -1

MAX_LOAD = 0.9
"""The maximum load of a free GPU, as a fraction."""

MAX_MEMORY = 0.9
"""The maximum fraction of used memory of a free GPU."""


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """The device of each worker, by number, and warnings for the log."""

    devices: tuple[int, ...]
    warnings: tuple[str, ...] = ()


def find_free_gpus(limit: int) -> list[int]:
    """Return the ids of at most `limit` GPUs that are neither busy nor full, the one with the most free memory first.

    Raises:
        ImportError: GPUtil cannot be imported (it needs `distutils`: install setuptools on Python 3.12 and later).
    """
    import GPUtil

    ids: list[int] = GPUtil.getAvailable(order='memory', limit=limit, maxLoad=MAX_LOAD, maxMemory=MAX_MEMORY)
    return ids


def plan_devices(
    num_worker: int, cpu: bool, device_map: Sequence[int], find_gpus: Callable[[int], list[int]] = find_free_gpus
) -> DevicePlan:
    """Give each of `num_worker` workers a device.

    The workers take the devices of `device_map` in turn or, if it is empty, the free GPUs from `find_gpus`. All workers
    run on the CPU if `cpu` is set, the map has only -1, or no GPU is free.
    """
    on_cpu = (CPU,) * num_worker
    if cpu:
        return DevicePlan(on_cpu)
    if device_map and set(device_map) == {CPU}:
        return DevicePlan(on_cpu)
    try:
        gpus = find_gpus(num_worker)
    except ImportError as error:
        return DevicePlan(on_cpu, ('cannot list the GPUs (%s): all workers run on the CPU' % error,))
    if not gpus:
        return DevicePlan(on_cpu, ('no GPU is free: all workers run on the CPU; use -cpu if that is intended',))
    warnings = []
    wanted = sum(device != CPU for device in device_map[:num_worker]) if device_map else num_worker
    if len(gpus) < wanted:
        warnings.append(
            'only %d GPU(s) are free for %d workers: some workers share one, which might not scale and might run out '
            'of memory' % (len(gpus), wanted)
        )
    chosen = tuple(device_map) or tuple(gpus)
    return DevicePlan(tuple(chosen[worker % len(chosen)] for worker in range(num_worker)), tuple(warnings))
