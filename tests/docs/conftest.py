"""One server for each set of options that a page asks for, and the commands as a user has them."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bert_serving.client import BertClient
from docs.pages import Ports
from support.engines import FASTEST
from support.serving import ServerProcess

COMMANDS = {
    'start': 'main',
    'http': 'http_main',
    'terminate': 'terminate_main',
    'benchmark': 'benchmark_main',
    'encode': 'encode_main',
}


@pytest.fixture(scope='session')
def server_with() -> Iterator[Callable[[str], Ports]]:
    """A server of the embedded default model with these options, started at its first use.

    The engine is the one that starts fastest, because the pages say the same about both.
    """
    servers: dict[str, Ports] = {}
    with ExitStack() as stack:

        def server_with(options: str) -> Ports:
            if options not in servers:
                words = ('-http_port', '0', '-http_host', '127.0.0.1', '-show_tokens_to_client', '-engine', FASTEST)
                server = stack.enter_context(ServerProcess(*words, *options.split())).wait_until_ready()
                stack.callback(server.stop)  # rather than killed
                servers[options] = Ports(server.port, server.port_out, server.http_port)
            return servers[options]

        yield server_with


@pytest.fixture(scope='session')
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `python` and the console commands, as they are in this tree, installed or not."""
    folder = tmp_path_factory.mktemp('bin')
    scripts = {
        'bert-serving-' + name: '-c "from bert_serving.server.cli import %s; %s()"' % (function, function)
        for name, function in COMMANDS.items()
    }
    for name, what in {**scripts, 'python': ''}.items():
        path = folder / name
        path.write_text('#!/bin/sh\nexec "%s" %s "$@"\n' % (sys.executable, what))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture
def redirect(monkeypatch: pytest.MonkeyPatch, commands: Path) -> Callable[[str, Ports], str]:
    """Make text that speaks of the ports 5555, 5556 and 8125 mean those of a server, clients without ports too."""

    def redirect(text: str, server: Ports) -> str:
        defaults = ['localhost', server.port, server.port_out, *BertClient.__init__.__defaults__[3:]]
        monkeypatch.setattr(BertClient.__init__, '__defaults__', tuple(defaults))
        monkeypatch.setenv('BERT_SERVING_PORT', '0')  # of servers that a block starts by itself
        monkeypatch.setenv('BERT_SERVING_PORT_OUT', '0')
        monkeypatch.setenv('BERT_SERVING_ENGINE', FASTEST)
        monkeypatch.setenv('PATH', os.pathsep.join([str(commands), os.environ['PATH']]))
        for usual, port in (('5555', server.port), ('5556', server.port_out), ('8125', server.http_port)):
            text = re.sub(r'\b%s\b' % usual, str(port), text)
        return text

    return redirect
