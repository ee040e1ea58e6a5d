"""The addresses of an encoder and of a cross-encoder, which the page calls localhost:8125 and localhost:8126.

The nox session `integrations` starts them, because its environment has no server, and all cross-encoders behind one
address. Elsewhere they are started here, if any test needs them, with one cross-encoder alone.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

PUBLISHED = Path(__file__).resolve().parents[1] / 'golden' / 'data' / 'published'

ENCODER, RERANKER = 'BERT_SERVING_TEST_ENCODER', 'BERT_SERVING_TEST_RERANKER'
"""In the environment: the addresses of servers that run."""

CROSS_ENCODERS = 'BERT_SERVING_TEST_CROSS_ENCODERS'
"""In the environment: the address of a proxy to all published cross-encoders, each by the name of its folder."""


@pytest.fixture(autouse=True)
def _clients_are_collected_here() -> Iterator[None]:
    """Connections that a program leaves open are closed here, or another test would be blamed for them."""
    yield
    gc.collect()


@pytest.fixture(scope='session')
def encoder() -> Iterator[str]:
    yield from _address(ENCODER)


@pytest.fixture(scope='session')
def reranker() -> Iterator[str]:
    yield from _address(RERANKER, '-model_dir', str(PUBLISHED / 'models' / 'ce-bert-one'))


@pytest.fixture
def cross_encoder(name: str, request: pytest.FixtureRequest) -> str:
    """The address of the cross-encoder `name`; skips the test if only the one of the page is served."""
    if CROSS_ENCODERS in os.environ:
        return os.environ[CROSS_ENCODERS]
    if name != 'ce-bert-one':
        pytest.skip('nox --sessions integrations serves it')
    return str(request.getfixturevalue('reranker'))


def _address(name: str, *words: str) -> Iterator[str]:
    if name in os.environ:
        yield os.environ[name]
        return
    from support.serving import ServerProcess

    with ServerProcess(*words, '-http_port', '0', '-http_host', '127.0.0.1') as server:
        yield 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        assert server.stop() == 0
