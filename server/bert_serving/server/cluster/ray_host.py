"""The actor of Ray: a `Host` on a node of its cluster."""

from __future__ import annotations

from typing import Any

import ray

from .host import Host


class RayHost(Host):
    """A host that gets files from Ray's object store, which brings each to a node once."""

    def fetch(self, content: Any) -> Any:
        """Get a buffer by its reference."""
        return ray.get(content)

    def where(self) -> tuple[str, str]:
        """Return the id of the node and its address."""
        return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()

    def is_node_leaving(self) -> bool:
        """Whether the node is drained. Ray itself asks so, too (`ray.train`); there is no public function for it."""
        try:
            return ray.get_runtime_context().get_node_id() in ray._private.state.state.get_draining_nodes()
        except Exception:  # a release of Ray without it, or a head node that is away
            return False
