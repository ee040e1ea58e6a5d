"""Workers on the nodes of a cluster. Only `ray_cluster` and `ray_host` import Ray."""
