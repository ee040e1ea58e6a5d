"""The options: one table, and its parsers. Owns no socket, process, thread or clock."""
