"""The cluster of a server whose workers run on one: the connection to it, and the ring that reaches its nodes.

Ray is imported here, and only for a server with `-ray`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..addresses import is_loopback
from ..cluster.interface import Cluster, Resources
from ..cluster.launcher import ClusterLauncher
from ..errors import UsageError
from ..process.launcher import Launcher
from .connecting import connect_within
from .placement import ClusterPlan
from .plan import Plan
from .remote_ring import RemoteRing

logger = logging.getLogger(__name__)

Connect = Callable[[str], Cluster]
"""Connects to the cluster at an address."""


@dataclass(frozen=True, slots=True)
class RemoteWorkers:
    """The workers of a server on a cluster: their plan, who starts them, and how they are reached."""

    plan: ClusterPlan
    launcher: Launcher
    ring: RemoteRing


def connect_to_ray(address: str) -> Cluster:
    """Connect to a cluster of Ray.

    Raises:
        UsageError: Ray is not installed.
        StartError: no cluster answers at that address.
    """
    if importlib.util.find_spec('ray') is None:
        raise UsageError("Ray is not installed in %s: pip install 'bert-serving-server[ray]'" % sys.prefix)
    from ..cluster.ray_cluster import RayCluster

    return RayCluster(address)


@contextlib.contextmanager
def remote_workers(plan: Plan, connect: Connect, is_interrupted: Callable[[], bool]) -> Iterator[RemoteWorkers | None]:
    """Connect to the cluster of the plan, and open the ring to its nodes.

    Yields None if the plan has no cluster, or if `is_interrupted` (see `connect_within`) before the cluster answers.

    Raises:
        StartError: no cluster answers, or the ports cannot be opened.
    """
    settings = plan.settings
    if plan.cluster is None or settings.ray is None:
        yield None
        return
    logger.info('connect to the cluster %s', settings.ray)
    cluster = connect_within(connect, settings.ray, is_interrupted)
    if cluster is None:
        yield None
        return
    try:
        address = settings.ray_address_of_server or cluster.own_address
        ring = RemoteRing(address)
        logger.info('the nodes reach this server at %s', address)
        if is_loopback(address) and settings.ray_address_of_server is None:
            logger.warning('nodes on other machines cannot reach %s: give -ray_address_of_server', address)
        try:
            resources = Resources(cpus=plan.cluster.cpus, gpus=plan.cluster.gpus)
            yield RemoteWorkers(plan.cluster, ClusterLauncher(cluster, resources), ring)
        finally:
            ring.close()
    finally:
        cluster.close()
