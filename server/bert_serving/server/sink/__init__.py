"""Assemble and publish answers. `sink` owns the sockets; its siblings own none."""
