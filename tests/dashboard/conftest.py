"""A browser for each test, which must have nothing to complain of; and servers with workers without TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.browsing import Browser, StartServer, browser_in, need_chromium
from support.processes import fake_server
from support.serving import ServerProcess
from support.slow import pytest_itemcollected

__all__ = ['pytest_itemcollected']


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """One of its own for each test. Nothing may be left on its console but answers that could not be had."""
    need_chromium()
    with browser_in(tmp_path / 'profile') as browser:
        yield browser
        assert browser.complaints() == []


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start `bert-serving-start` with two workers; returns it and the address of its HTTP server."""
    with contextlib.ExitStack() as stack:

        def start(*words: str, **environment: str) -> tuple[ServerProcess, str]:
            words = ('-num_worker', '2', '-http_host', '127.0.0.1', '-http_port', '0', *words)
            environment = {'FAKE_WORKER_SECONDS': '0.005', **environment}
            server = stack.enter_context(fake_server(*words, **environment))
            return server, 'http://127.0.0.1:%d' % server.wait_until_ready().http_port

        yield start
