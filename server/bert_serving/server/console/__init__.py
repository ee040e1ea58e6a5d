"""Output for people: log lines, progress, formatted numbers. Imports no other module of the server."""
