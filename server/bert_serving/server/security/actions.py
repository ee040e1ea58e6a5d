"""The actions that the audit counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class AuditAction(StrEnum):
    """Something that the audit counts."""

    CONNECTED = 'connected'
    REFUSED = 'refused'
    GRANTED = 'granted'
    CANCELLED = 'cancelled'
    TERMINATED = 'terminated'
    QUOTA = 'quota'
    WRONG_KEY = 'wrong_key'

    @property
    def key(self) -> str:
        """The key of the action in the status's `statistic`."""
        return 'num_security_' + self.value


NO_ACTIONS: Mapping[str, int] = {action.key: 0 for action in AuditAction}


def add_up(*counts: Mapping[str, int]) -> dict[str, int]:
    """Add up counts by key, for all actions."""
    return {key: sum(each.get(key, 0) for each in counts) for key in NO_ACTIONS}
