"""The socket of a server's user, over which it is asked to stop, and the users of connections."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.parent.control import OBEYED, ControlSocket, ask_to_stop
from bert_serving.server.parent.terminate import terminate
from bert_serving.server.socket_owner import owner_of_peer
from bert_serving.server.tcp import Connection
from bert_serving.server.transport import Reactor

PORT = 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The private folder of a server, where terminate looks."""
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(tmp_path))
    monkeypatch.setattr('tempfile.gettempdir', lambda: str(tmp_path))
    private = tmp_path / 'bert-serving-x'
    private.mkdir(mode=0o700)
    return private


@pytest.fixture
def answers(folder: Path) -> Iterator[list[str]]:
    """A server that gives these answers, one after another."""
    to_give: list[str] = []
    server = ControlSocket(str(folder), PORT, lambda: to_give.pop(0))
    reactor, stopped = Reactor(), threading.Event()
    reactor.add(server.fileno(), server.on_request)

    def serve() -> None:
        while not stopped.is_set():
            reactor.run_once(20)

    thread = threading.Thread(target=serve)
    thread.start()
    yield to_give
    stopped.set()
    thread.join(10)
    server.close()


def test_the_user_of_a_server_stops_it_and_learns_of_a_refusal(answers: list[str]) -> None:
    answers += [OBEYED, OBEYED, 'the server was started with -no_terminate']
    assert ask_to_stop(PORT) == OBEYED
    assert terminate('127.0.0.1', PORT, 100) == '127.0.0.1'
    with pytest.raises(StartError, match='does not stop: the server was started with -no_terminate'):
        terminate('localhost', PORT, 100)


def test_another_port_is_another_server(answers: list[str]) -> None:
    assert ask_to_stop(PORT + 1) is None
    assert answers == []


def test_a_server_that_is_gone_is_not_asked(folder: Path) -> None:
    ControlSocket(str(folder), PORT, lambda: OBEYED).close()
    assert ask_to_stop(PORT) is None


def test_a_folder_that_others_can_enter_is_no_folder_of_a_server(answers: list[str], folder: Path) -> None:
    folder.chmod(0o777)
    assert ask_to_stop(PORT) is None


def test_the_kernel_knows_whose_the_other_end_of_a_connection_is() -> None:
    for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
        with socket.socket(family) as listener:
            try:
                listener.bind((address, 0))
            except OSError:
                continue  # no IPv6
            listener.listen()
            client = socket.create_connection(listener.getsockname()[:2])
            server, peer = listener.accept()
            with server:
                connection = Connection(server.fileno(), str(peer[0]), int(peer[1]))
                assert owner_of_peer(connection) == os.geteuid()
                assert owner_of_peer(Connection(server.fileno(), str(peer[0]), int(peer[1]) + 1)) is None
                client.close()
                assert owner_of_peer(connection) is None
    assert owner_of_peer(Connection(10**6, '127.0.0.1', 1)) is None
