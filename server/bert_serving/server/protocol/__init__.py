"""Frames and messages, to clients and between our own processes. Owns no socket, process, thread or clock."""
