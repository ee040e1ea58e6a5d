"""From the texts of a job to its vectors. `worker` owns the sockets and threads; its siblings own none."""
