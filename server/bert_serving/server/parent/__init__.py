"""The parent process: `server` starts and joins all the parts; its siblings are what it needs for that."""
