"""The parent process: `server` is the life of a server; its siblings are the parts that only the parent needs."""
