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
        help='secret certificate of the server, with file mode 0600; "bert-serving-keys server FILE" makes one. It '
        'encrypts both ports, and only clients with a key in -curve_clients can connect',
        metavar='FILE',
    )
    curve_clients: str | None = option(
        default=None,
        group=SECURITY,
        help="folder with the clients' public keys, in files NAME.key, where NAME is the client's principal. The "
        'server reads it again when it changes, and disconnects clients whose keys were removed',
        metavar='DIR',
    )
    audit_file: str | None = option(
        default=None,
        group=SECURITY,
        help='audit log: one JSON line for each connection, request and refusal of a client with a key, without texts '
        '(default: no file, only counters)',
        metavar='FILE',
    )
    principals: str | None = option(
        default=None,
        group=SECURITY,
        help='TOML file with the grants, quotas, weights and HTTP keys of principals; the server reads it again when '
        'it changes',
        metavar='FILE',
    )
