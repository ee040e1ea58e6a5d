"""Which addresses have sent too many wrong keys lately. Pure, but for a clock that is given.

An address that has sent `MOST` wrong keys is blocked until `WINDOW_S` after the first of them. A key that the address
has used before goes on working meanwhile, so that a client with a wrong key cannot shut out others behind the same
address. Another key is refused even if it is right: otherwise who guesses would lose nothing by being blocked.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

MOST = 10
WINDOW_S = 60.0

MAX_NETWORKS = 10_000
MAX_KNOWN = 10_000
"""Entries that are remembered; the oldest make room."""


def network_of(address: str) -> str:
    """Whom an address counts for: itself or, with IPv6, the network /64, in which a host can choose its address."""
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
    """The wrong keys of each network, and the right ones. For one thread at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()  # network -> (its first wrong key, number)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def blocked_s(self, network: str) -> float:
        """For how many seconds the network is blocked from now on; 0 if it is not."""
        began, number = self._windows.get(network, (0.0, 0))
        return max(0.0, began + WINDOW_S - self._clock()) if number >= MOST else 0.0

    def note_wrong(self, network: str) -> bool:
        """Count a wrong key; whether the network is blocked from now on, and was not before."""
        now = self._clock()
        began, number = self._windows.pop(network, (now, 0))
        if now - began >= WINDOW_S:
            began, number = now, 0
        self._windows[network] = began, number + 1
        if len(self._windows) > MAX_NETWORKS:
            self._windows.popitem(last=False)
        return number + 1 == MOST

    def note_right(self, network: str, key: str) -> None:
        """Remember that a key was used from the network; `key` is its digest."""
        self._known[network, key] = None
        self._known.move_to_end((network, key))
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def is_known(self, network: str, key: str) -> bool:
        """Whether that key was used from the network before."""
        return (network, key) in self._known
