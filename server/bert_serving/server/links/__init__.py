"""The links between the processes of the ring: Unix sockets on one machine, and TCP with keys between machines."""
