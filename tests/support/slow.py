"""Marks every test of a folder `slow`: its `conftest.py` imports the hook, which is called for that folder alone."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker('slow')
