"""Child processes and their supervision. Knows processes, not requests."""
