"""Wait for what another thread or process does: never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar('Found')


def wait_until(find: Callable[[], Found], within_s: float = 60) -> Found:
    """Return the result of `find` as soon as it is true; AssertionError if it never is."""
    deadline = time.monotonic() + within_s
    while not (found := find()):
        assert time.monotonic() < deadline, 'it did not come within %g s' % within_s
        time.sleep(0.01)
    return found
