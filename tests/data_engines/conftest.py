"""A server for the adapters of the client: the one that the nox session `data` has started, or a `FakeServer`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

SERVER = 'BERT_SERVING_TEST_SERVER'
"""In the environment: the ports of a server that runs, as `PORT,PORT_OUT`."""


@pytest.fixture(scope='session')
def server() -> Iterator[dict[str, Any]]:
    """The arguments of a client of the server."""
    if SERVER in os.environ:
        port, port_out = os.environ[SERVER].split(',')
        yield {'ip': '127.0.0.1', 'port': int(port), 'port_out': int(port_out)}
        return
    from support.serving import SMALL_MODEL, FakeServer, fake_path, serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', fake_path())
        with serve('-model_dir', SMALL_MODEL, server_class=FakeServer) as server:
            yield {'ip': '127.0.0.1', 'port': server.port, 'port_out': server.port_out}
