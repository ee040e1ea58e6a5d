"""Every test starts a server with TensorFlow."""

from __future__ import annotations

from support.slow import pytest_itemcollected

__all__ = ['pytest_itemcollected']
