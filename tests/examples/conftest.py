"""One server for all examples, and none of their processes left behind."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator

import psutil
import pytest

from bert_serving.server import BertServer
from examples.running import Run, run_example
from support.engines import FASTEST
from support.serving import serve

MARK = 'EXAMPLES_OF_TEST_RUN'


@pytest.fixture(scope='session', autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Every process that is started from here has a mark in its environment, and is gone at the end."""
    os.environ[MARK] = mark = uuid.uuid4().hex
    yield
    del os.environ[MARK]
    deadline = time.monotonic() + 5
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, left


def marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append('%d: %s' % (process.pid, process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope='session')
def server() -> Iterator[BertServer]:
    """A server of the embedded default model, with its own layer, as example/README.md starts it."""
    with serve('-pooling_layer', '-1', '-engine', FASTEST) as server:
        yield server


@pytest.fixture
def run(server: BertServer) -> Run:
    """Run an example against the server, or another, and return what it prints."""

    def run(name: str, *words: str, on: BertServer = server, typed: str = '') -> str:
        return run_example(name, '-port', str(on.port), '-port_out', str(on.port_out), *words, typed=typed)

    return run
