"""The Ray actor: a `Host` on a node of the cluster."""

from __future__ import annotations

from typing import Any

import ray

from .host import Host


class RayHost(Host):
    """A host that gets files from Ray's object store, which copies each to a node once."""

    def fetch(self, content: Any) -> Any:
        """Get a buffer by its reference."""
        return ray.get(content)

    def where(self) -> tuple[str, str]:
        """Return the id and the address of the node."""
        return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()

    def is_node_leaving(self) -> bool:
        """Whether the node is draining. Ray has no public function for this, and `ray.train` uses the same one."""
        try:
            return ray.get_runtime_context().get_node_id() in ray._private.state.state.get_draining_nodes()
        except Exception:  # a release of Ray without this function, or an unreachable head node
            return False
