"""The parent process: `server` is the life of a server, and its siblings are parts that only the parent needs."""
