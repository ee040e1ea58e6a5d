"""Assemble and publish replies. `sink` owns the sockets; its siblings own none."""
