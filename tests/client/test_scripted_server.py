"""The stand-in of the server for these tests fails loudly, and never hangs, when a script of it is wrong."""

import pytest

from bert_serving.client import TimeoutError
from support.scripted_server import ScriptedServer


def test_an_error_in_a_script_is_raised_when_the_server_is_stopped(connect):
    server = ScriptedServer()
    server.script = lambda request: {}['missing']
    with pytest.raises(TimeoutError):
        connect(server, timeout=1000).encode(['a'])
    with pytest.raises(KeyError, match='missing'):
        server.stop()
    server.stop()
