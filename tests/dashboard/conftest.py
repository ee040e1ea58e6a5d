"""A window for each test, which must not log errors, and servers whose workers do without TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from dashboard.browsing import Browser, StartServer, browser_in, need_chromium
from support.processes import fake_server
from support.serving import ServerProcess
from support.slow import pytest_itemcollected

__all__ = ['pytest_itemcollected']


@pytest.fixture(scope='module')
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need_chromium()
    with browser_in(tmp_path_factory.mktemp('profile')) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A new window for each test. Its console can only have errors of requests that got no answer."""
    with chromium.fresh_window():
        yield chromium
        assert chromium.complaints() == []


def starting(stack: contextlib.ExitStack) -> StartServer:
    """Start `bert-serving-start` with two workers; returns it and the address of its HTTP server."""

    def start(*words: str, **environment: str) -> tuple[ServerProcess, str]:
        words = ('-num_worker', '2', '-http_host', '127.0.0.1', '-http_port', '0', *words)
        environment = {'FAKE_WORKER_SECONDS': '0.005', **environment}
        server = stack.enter_context(fake_server(*words, **environment))
        return server, 'http://127.0.0.1:%d' % server.wait_until_ready().http_port

    return start


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start servers that stop at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield starting(stack)


@pytest.fixture(scope='module')
def shared_url() -> Iterator[str]:
    """The address of a server that tests share if they neither stop it nor need a fresh one."""
    with contextlib.ExitStack() as stack:
        yield starting(stack)('-prefetch_size', '7')[1]
