"""The addresses of an encoder and of a cross-encoder, which the page calls localhost:8125 and localhost:8126.

The nox session `integrations` starts them, because its environment has no server. Elsewhere they are started here, if
any test needs them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ENCODER, RERANKER = 'BERT_SERVING_TEST_ENCODER', 'BERT_SERVING_TEST_RERANKER'
"""In the environment: the addresses of servers that run."""


@pytest.fixture(scope='session')
def encoder() -> Iterator[str]:
    yield from _address(ENCODER)


@pytest.fixture(scope='session')
def reranker() -> Iterator[str]:
    folder = Path(__file__).resolve().parents[1] / 'golden' / 'data' / 'published' / 'models' / 'ce-bert-one'
    yield from _address(RERANKER, '-model_dir', str(folder))


def _address(name: str, *words: str) -> Iterator[str]:
    if name in os.environ:
        yield os.environ[name]
        return
    from support.serving import ServerProcess

    with ServerProcess(*words, '-http_port', '0', '-http_host', '127.0.0.1') as server:
        yield 'http://127.0.0.1:%d' % server.wait_until_ready().http_port
        assert server.stop() == 0
