"""Children of a `FakeServer` find their modules, and no test leaves a process or a folder behind."""

from __future__ import annotations

from support.leftovers import fake_modules, leftovers
from support.slow import pytest_itemcollected

__all__ = ['fake_modules', 'leftovers', 'pytest_itemcollected']
