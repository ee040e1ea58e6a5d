"""Accept, split and schedule requests. `ventilator` owns the sockets; its siblings own none."""
