"""Text for people: log lines, progress, formatted numbers. Imports nothing else of the server."""
