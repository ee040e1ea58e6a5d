"""Access control: principals, their grants and quotas, the keys that prove their identity, and the audit."""
