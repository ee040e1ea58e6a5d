"""The processes of a server under test, seen from outside: by what they run, their memory, and whether they live."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

import psutil

from support.serving import SMALL_MODEL, ServerProcess, fake_path

WORKER, SINK, PROXY = 'worker', 'bert_serving.server.sink.sink', 'bert_serving.server.http'


def fake_server(*words: str, **environment: str) -> ServerProcess:
    """Start `bert-serving-start` with fake workers on free ports; `environment` is for them."""
    environment = {'PYTHONPATH': fake_path(), **environment}
    return ServerProcess('-model_dir', SMALL_MODEL, *words, environment=environment, module='support.fake_cli')


def children_of(server: ServerProcess, word: str = '') -> list[int]:
    """The children of a server, those that run a module in whose name `word` stands."""
    return children_of_process(server.process.pid, word)


def children_of_process(pid: int, word: str = '') -> list[int]:
    """The same of the process `pid`."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):  # it has just gone
            if child.status() != psutil.STATUS_ZOMBIE and any(word in part for part in child.cmdline()[-1:]):
                found.append(child.pid)
    return found


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def is_listening(port: int) -> bool:
    """Whether a process of this machine accepts connections on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0


def connections_to(port: int) -> int:
    """How many connections this machine's servers have on the port that they listen on."""
    open_ones = [each for each in psutil.net_connections('tcp4') if each.status == psutil.CONN_ESTABLISHED]
    return sum(getattr(each.laddr, 'port', None) == port for each in open_ones)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def memory_of(pid: int) -> int:
    """Bytes that are resident."""
    return int(psutil.Process(pid).memory_info().rss)
