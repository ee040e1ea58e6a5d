"""Track the addresses that have recently sent too many wrong keys. Pure: the caller passes a clock.

An address that has sent `MOST` wrong keys is blocked until `WINDOW_S` after the first of them. Keys that the address
has used before still work, so that a client with a wrong key cannot lock out others behind the same address. Other keys
are refused even if they are right, because otherwise blocking would not stop guessing.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

MOST = 10
WINDOW_S = 60.0

MAX_NETWORKS = 10_000
MAX_KNOWN = 10_000
"""The maximum number of entries. The oldest ones make room."""


def network_of(address: str) -> str:
    """Return the network of an address: itself or, for IPv6, its /64, where a host can choose any address."""
    try:
        parsed = ipaddress.ip_address(address.partition('%')[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


class WrongKeys:
    """The wrong and the right keys of each network. For one thread at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()  # network -> (its first wrong key, number)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def blocked_s(self, network: str) -> float:
        """The remaining seconds for which the network is blocked, or 0."""
        began, number = self._windows.get(network, (0.0, 0))
        return max(0.0, began + WINDOW_S - self._clock()) if number >= MOST else 0.0

    def note_wrong(self, network: str) -> bool:
        """Count a wrong key. Return whether it has just blocked the network."""
        now = self._clock()
        began, number = self._windows.pop(network, (now, 0))
        if now - began >= WINDOW_S:
            began, number = now, 0
        self._windows[network] = began, number + 1
        if len(self._windows) > MAX_NETWORKS:
            self._windows.popitem(last=False)
        return number + 1 == MOST

    def note_right(self, network: str, key: str) -> None:
        """Remember a right key that the network has used. `key` is its digest."""
        self._known[network, key] = None
        self._known.move_to_end((network, key))
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def is_known(self, network: str, key: str) -> bool:
        """Whether the network has used that key before."""
        return (network, key) in self._known
