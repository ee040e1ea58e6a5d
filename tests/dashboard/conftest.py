"""A browser for each test, which must have nothing to complain of; and servers, whose workers only have no TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.browsing import Browser, StartServer, browser_in, need_chromium
from support.serving import SMALL_MODEL, ServerProcess, fake_path


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
            words = (
                '-model_dir',
                SMALL_MODEL,
                '-num_worker',
                '2',
                '-http_host',
                '127.0.0.1',
                '-http_port',
                '0',
                *words,
            )
            environment = {'PYTHONPATH': fake_path(), 'FAKE_WORKER_SECONDS': '0.005', **environment}
            server = stack.enter_context(ServerProcess(*words, environment=environment, module='support.fake_cli'))
            match = server.wait_for_log(r'all set, ready to serve request! .*http_port=(\d+)')
            return server, 'http://127.0.0.1:%s' % match[1]

        yield start
