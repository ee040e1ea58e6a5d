"""Who may do what: principals, their grants and quotas, the keys that prove who somebody is, and the audit."""
