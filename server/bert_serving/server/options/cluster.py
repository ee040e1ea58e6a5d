"""Options: workers on the nodes of a Ray cluster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import UsageError
from .option import CLUSTER, option
from .values import host, whole_number

AUTO = 'auto'
"""The value of `-ray` for the cluster that this machine belongs to, or the cluster of RAY_ADDRESS."""

_ADDRESS = 'auto, ray://HOST:PORT or HOST:PORT'


def ray_address(text: str) -> str:
    """Parse the address of a Ray cluster."""
    where, _, port = text.removeprefix('ray://').rpartition(':')
    if text == AUTO or (where and port.isascii() and port.isdecimal()):
        return text
    raise ValueError('expected %s, got %r' % (_ADDRESS, text))


def share(least: float) -> Callable[[str], float]:
    """Make a parser for amounts of a resource: whole numbers, or fractions below 1, of at least `least`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf or (value > 1 and value % 1):
            raise ValueError('expected a whole number, or a fraction below 1, of at least %g, got %r' % (least, text))
        return value

    return parse


@dataclass(frozen=True)
class ClusterOptions:
    """The options of the group `CLUSTER`."""

    ray: str | None = option(
        default=None,
        group=CLUSTER,
        help='address of a Ray cluster that runs the workers: auto for the cluster that this machine belongs to, '
        'ray://HOST:PORT, or HOST:PORT (default: all workers run on this machine)',
        parse=ray_address,
        metavar='ADDRESS',
    )
    ray_num_worker: int | None = option(
        default=None,
        group=CLUSTER,
        help='number of workers on the cluster, in addition to the -num_worker workers on this machine (default: all '
        '-num_worker workers run on the cluster, and none on this machine)',
        parse=whole_number(1),
        metavar='N',
    )
    ray_gpus: float | None = option(
        default=None,
        group=CLUSTER,
        help='GPUs, or the share of one, that each worker on the cluster takes from its node (default: 1; with -cpu or '
        '-engine onnxruntime, 0)',
        parse=share(0),
        metavar='GPUS',
    )
    ray_cpus: float = option(
        default=1.0,
        group=CLUSTER,
        help='CPUs that each worker on the cluster takes from its node; a worker without a GPU computes with as many '
        'threads',
        parse=share(0),
        metavar='CPUS',
    )
    ray_address_of_server: str | None = option(
        default=None,
        group=CLUSTER,
        help='address at which the nodes reach this machine (default: the one that it uses to reach the cluster)',
        parse=host,
        metavar='ADDRESS',
    )


def check_cluster(options: ClusterOptions) -> None:
    """Raise UsageError if options for workers on a cluster are set without a cluster."""
    for name in ('ray_num_worker', 'ray_gpus', 'ray_address_of_server'):
        if options.ray is None and getattr(options, name) is not None:
            raise UsageError('-%s is for workers on a cluster: add the address of one, such as -ray auto' % name)
