"""Options: keys, and what their holders may do."""

from __future__ import annotations

from dataclasses import dataclass

from .option import SECURITY, option


@dataclass(frozen=True)
class SecurityOptions:
    """The options of the group `SECURITY`."""

    curve_key_file: str | None = option(
        default=None,
        group=SECURITY,
        help='secret certificate of the server, of mode 0600, as "bert-serving-keys server FILE" makes it. Both ports '
        'are then encrypted, and only clients with a key of -curve_clients can connect',
        metavar='FILE',
    )
    curve_clients: str | None = option(
        default=None,
        group=SECURITY,
        help='folder with the public key of each client, NAME.key, where NAME is that of its principal; it is read '
        'again when it changes, and removed keys are cut off',
        metavar='DIR',
    )
    audit_file: str | None = option(
        default=None,
        group=SECURITY,
        help='file to which each connection, refusal and request of a client with a key is written, one JSON object a '
        'line, without texts (default: they are counted only)',
        metavar='FILE',
    )
    principals: str | None = option(
        default=None,
        group=SECURITY,
        help='TOML file with the grants, quotas, weights and HTTP keys of principals; it is read again when it changes',
        metavar='FILE',
    )
