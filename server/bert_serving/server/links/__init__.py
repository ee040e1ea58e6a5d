"""How the ring's processes meet: over Unix sockets on one machine, over TCP with keys between machines."""
