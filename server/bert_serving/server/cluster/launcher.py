"""The launcher whose children run on the nodes of a cluster."""

from __future__ import annotations

from ..process.launcher import ChildSpec
from .interface import Cluster, Resources
from .luggage import Luggage
from .remote_child import RemoteChild


class ClusterLauncher:
    """Makes children that the cluster places on its nodes."""

    def __init__(self, cluster: Cluster, resources: Resources) -> None:
        """Each child takes `resources` from its node."""
        self._cluster = cluster
        self._resources = resources
        self._luggage = Luggage(cluster)

    def make(self, spec: ChildSpec) -> RemoteChild:
        """Make a child. When it is started, it waits for resources."""
        return RemoteChild(spec, self._cluster, self._resources, self._luggage)
