"""More connections than files: silent ones make room, and a reserve stays for new processes."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading

import pytest

from bert_serving.server import descriptors
from bert_serving.server.descriptors import FileLimits, OpenConnection, choose_silent, guard_port, make_room
from support.waiting import wait_until


def test_the_limit_is_as_high_as_allowed_and_a_part_is_kept_back() -> None:
    infinite = resource.RLIM_INFINITY
    assert FileLimits.of(1024, 1 << 20) == FileLimits(65536, 256)
    assert FileLimits.of(1024, infinite) == FileLimits(65536, 256)
    assert FileLimits.of(infinite, infinite) == FileLimits(65536, 256)
    assert FileLimits.of(1 << 20, 1 << 20) == FileLimits(1 << 20, 256), 'a higher limit of the user stays'
    assert FileLimits.of(256, 256).usual == 192


def test_the_address_with_the_most_connections_makes_room_with_those_that_are_silent_longest() -> None:
    few = [OpenConnection('10.0.0.1', 9999, number) for number in range(3)]
    many = [OpenConnection('10.0.0.2', number, 100 + number) for number in range(16)]
    assert [connection.descriptor for connection in choose_silent(few + many, 1000)] == [115, 114, 113]
    assert choose_silent(few[:1], 1000) == few[:1]
    assert choose_silent(few, 2) == [few[0], few[2]], 'the reserve is freed'
    assert choose_silent([], 0) == []


def test_the_longest_silent_connection_is_closed_and_no_other() -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener, socket.create_server(('127.0.0.1', 0)) as other:
        port = listener.getsockname()[1]
        silent, active = (socket.create_connection(('127.0.0.1', port), timeout=10) for _ in range(2))
        elsewhere = socket.create_connection(other.getsockname(), timeout=10)
        accepted = [listener.accept()[0], listener.accept()[0], other.accept()[0]]
        wait_until(lambda: silent_ms(accepted[0], port) > 20)
        active.sendall(b'x')
        assert accepted[1].recv(1) == b'x'
        assert make_room(port, FileLimits(1024, 24)) == 1
        assert silent.recv(1) == b'', 'closed'
        accepted[1].sendall(b'y')
        accepted[2].sendall(b'z')
        assert (active.recv(1), elsewhere.recv(1)) == (b'y', b'z')
        for connection in (silent, active, elsewhere, *accepted):
            connection.close()


def silent_ms(connection: socket.socket, port: int) -> int:
    found = descriptors._connection_of(connection.fileno(), port)
    assert found is not None
    return found.silent_ms


def test_the_guard_ends_with_the_port() -> None:
    listener = socket.create_server(('127.0.0.1', 0))
    port = listener.getsockname()[1]
    guard_port(port)
    name = 'guard of port %d' % port
    assert name in {thread.name for thread in threading.enumerate()}
    listener.close()
    wait_until(lambda: name not in {thread.name for thread in threading.enumerate()})
    guard_port(port)  # nobody listens: there is nothing to guard


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection, perhaps after some greeting."""
    connection.settimeout(0.01)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


SCRIPT = """
import resource, socket, sys, os
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import zmq
from bert_serving.server import descriptors
from bert_serving.server.transport import bind_tcp, make_socket
context = zmq.Context()
pull = make_socket(context, zmq.PULL)
print(bind_tcp(pull, 0, 'port'), flush=True)
while (message := pull.recv()) != b'end':
    with descriptors.reserve():
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    print(message.decode(), flush=True)
    for file in files:
        os.close(file)
"""


@pytest.mark.slow
def test_a_newcomer_is_served_and_files_are_left_while_an_attacker_holds_all_connections() -> None:
    import zmq

    process = subprocess.Popen([sys.executable, '-c', SCRIPT], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    held = [socket.create_connection(('127.0.0.1', port), timeout=10) for _ in range(80)]
    wait_until(lambda: any(is_closed(connection) for connection in held))
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect('tcp://127.0.0.1:%d' % port)
        push.send(b'a newcomer')
        assert process.stdout.readline() == 'a newcomer\n'
        push.send(b'end')
    assert process.wait(30) == 0
    process.stdout.close()
    for connection in held:
        connection.close()
