"""Fixtures of the client's tests. They run on Python 2.7 too, so no conftest for Python 3 may stand above this one."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # pytest for 2.7 has no `pythonpath`

from bert_serving.client import BertClient, ConcurrentBertClient  # noqa: E402
from support.scripted_server import ScriptedServer  # noqa: E402

collect_ignore = [] if sys.version_info >= (3, 8) else ['test_client_aio.py']  # which Python 3.7 cannot read


@pytest.fixture
def make_server():
    servers = []

    def make(**config):
        servers.append(ScriptedServer(**config))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def connect():
    """Make a client of a server, which is closed at the end; 20 s are forever."""
    clients = []

    def make(server, kind=BertClient, **arguments):
        arguments.setdefault('timeout', 20000)
        client = kind(ip='127.0.0.1', port=server.port, port_out=server.port_out, **arguments)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(server, connect):
    return connect(server)


@pytest.fixture
def pool(server, connect):
    return connect(server, kind=ConcurrentBertClient, max_concurrency=2)
