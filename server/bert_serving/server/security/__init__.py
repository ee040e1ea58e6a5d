"""Access control: principals, their grants and quotas, the keys that identify them, and the audit."""
