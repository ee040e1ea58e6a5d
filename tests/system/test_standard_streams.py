"""Commands and `BertServer` without standard streams: closed by a daemon or a launcher, or set to None."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bert_serving.client import BertClient
from support.processes import children_of_process
from support.proxies import curl
from support.serving import SMALL_MODEL, fake_path
from support.waiting import wait_until

pytestmark = pytest.mark.slow

SERVE = ('-model_dir', SMALL_MODEL, '-cpu', '-port', '0', '-port_out', '0')
CLOSED = [(0,), (1,), (2,), (0, 1, 2)]


def _close(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        os.close(number)


def run_without(numbers: tuple[int, ...], command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, a function of `cli`, with these descriptors closed from the start."""
    return subprocess.run(
        [sys.executable, '-c', 'from bert_serving.server import cli; cli.%s()' % command, *words],
        preexec_fn=lambda: _close(numbers),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def started_without(
    numbers: tuple[int, ...], module: str, *words: str, **streams: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a module, with these descriptors closed, and the others at /dev/null or as `streams` say."""
    process = subprocess.Popen(
        [sys.executable, '-m', module, *words],
        stdin=streams.get('stdin', subprocess.DEVNULL),
        stdout=streams.get('stdout', subprocess.DEVNULL),
        stderr=streams.get('stderr', subprocess.DEVNULL),
        preexec_fn=lambda: _close(numbers),
        env={**os.environ, 'PYTHONPATH': fake_path()},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def listening_port(pid: int) -> int:
    """The TCP port on which a process listens, as soon as it does."""

    def find() -> int:
        connections = psutil.Process(pid).net_connections('tcp')
        return next((each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN), 0)

    return wait_until(find)


def standard_files(pid: int) -> list[str]:
    """The files behind the descriptors 0, 1 and 2 of a process."""
    return [os.readlink('/proc/%d/fd/%d' % (pid, number)) for number in range(3)]


@pytest.mark.parametrize('closed', CLOSED)
def test_a_server_started_without_standard_streams_serves(closed: tuple[int, ...]) -> None:
    with started_without(closed, 'support.fake_cli', *SERVE) as process:
        port = listening_port(process.pid)
        (sink,) = wait_until(lambda: children_of_process(process.pid, 'sink'))
        (worker,) = wait_until(lambda: children_of_process(process.pid, 'worker'))
        with BertClient(port=port, port_out=listening_port(sink), timeout=60_000) as client:
            assert client.encode(['hello']).shape == (1, 3)
        assert standard_files(process.pid) == ['/dev/null'] * 3
        for child in (sink, worker):
            files = standard_files(child)
            assert files[0].startswith('pipe:')
            assert files[1:] == ['/dev/null'] * 2
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize('closed', CLOSED)
def test_an_http_proxy_started_without_standard_streams_serves(closed: tuple[int, ...]) -> None:
    words = ('-port', '1', '-port_out', '2', '-http_port', '0', '-http_host', '127.0.0.1')
    with started_without(closed, 'support.http_cli', *words) as process:
        url = 'http://127.0.0.1:%d' % listening_port(process.pid)
        assert curl(url + '/openapi.json')[0] == 200
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize('closed', CLOSED)
@pytest.mark.parametrize(
    ('command', 'words', 'code'),
    [
        ('main', ['-model_dir', '/no/such/folder'], 2),
        ('main', ['-no_such_option'], 2),
        ('main', ['-help'], 0),
        ('terminate_main', ['-port', '1', '-timeout', '100'], 1),
        ('http_main', ['-no_such_option'], 2),
        ('benchmark_main', ['-no_such_option'], 2),
    ],
)
def test_a_command_without_standard_streams_keeps_its_exit_code(
    command: str, words: list[str], code: int, closed: tuple[int, ...]
) -> None:
    done = run_without(closed, command, *words)
    assert (done.returncode, 'Traceback' in done.stderr) == (code, False)


@pytest.mark.parametrize(
    'change',
    [
        'sys.stderr = None',
        'sys.stdin = sys.stdout = sys.stderr = None',
        'sys.stderr.close()',
        'sys.stderr = type("Writer", (), {"write": lambda *_: None, "flush": lambda _: None})()',
        'os.close(2)',
        'os.closerange(0, 3)',
        'os.closerange(0, 3); kept = [open(os.devnull, "a") for _ in range(3)]',
    ],
)
def test_a_bert_server_in_a_program_without_standard_streams_serves(change: str, tmp_path: Path) -> None:
    result = tmp_path / 'result'
    program = """
        import os, sys
        from bert_serving.client import BertClient
        from bert_serving.server.helper import get_args_parser
        from support.serving import FakeServer
        %s
        with FakeServer(get_args_parser().parse_args(%r)) as server, BertClient(port=server.port, port_out=server.port_out, timeout=60000) as client:
            shape = client.encode(['hello']).shape
        with open(%r, 'w') as file:
            file.write(str(shape))
        """
    program = textwrap.dedent(program) % (change, SERVE, str(result))
    environment = {**os.environ, 'PYTHONPATH': fake_path()}
    done = subprocess.run(
        [sys.executable, '-c', program], env=environment, capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, result.exists()) == (0, True), done.stderr
    assert result.read_text() == '(1, 3)'


@pytest.mark.parametrize('kind', ['a pipe that nobody reads', 'a full disk'])
@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
def test_a_server_whose_output_cannot_be_written_serves(stream: str, kind: str) -> None:
    if kind == 'a full disk':
        output = os.open('/dev/full', os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    with started_without((), 'support.fake_cli', *SERVE, **{stream: output}) as process:
        os.close(output)
        (sink,) = wait_until(lambda: children_of_process(process.pid, 'sink'))
        port, port_out = listening_port(process.pid), listening_port(sink)
        with BertClient(port=port, port_out=port_out, timeout=60_000) as client:
            assert client.encode(['hello']).shape == (1, 3)
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize('command', ['main', 'terminate_main', 'http_main', 'benchmark_main'])
def test_help_that_nobody_can_read_is_no_traceback(command: str) -> None:
    with open('/dev/full', 'w') as full:
        done = subprocess.run(
            [sys.executable, '-c', 'from bert_serving.server import cli; cli.%s()' % command, '-help'],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, '')
