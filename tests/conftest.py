"""The processes of a test run share a folder of kept exports: each graph is exported once, no user's is touched."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

VARIABLE = 'XDG_CACHE_HOME'
"""The server's children and pytest-xdist's processes inherit it."""

FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        config.stash[FOLDER] = os.environ[VARIABLE] = tempfile.mkdtemp(prefix='bert-cache-')


def pytest_unconfigure(config: pytest.Config) -> None:
    if FOLDER in config.stash:
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)
