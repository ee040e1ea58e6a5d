"""Whether this machine has IPv6, and one mark for the tests that need it."""

from __future__ import annotations

from pathlib import Path

import pytest

_INTERFACES = Path('/proc/net/if_inet6')

HAS_IPV6 = _INTERFACES.exists() and any(line.split()[-1] == 'lo' for line in _INTERFACES.read_text().splitlines())
"""Whether the loopback interface has `::1`."""

needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason='this machine has no IPv6')
