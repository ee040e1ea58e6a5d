"""The image's health check, against real servers with fake workers: right for all options, and clear."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import zmq

from bert_serving.client import ProtocolError, ServerError
from bert_serving.server.http.app import create_app
from bert_serving.server.http.dispatcher import Dispatcher
from bert_serving.server.http.frontend import Frontend
from bert_serving.server.http.tls import TlsFiles
from docker.files import DOCKER, instructions
from support.certificates import authority, localhost
from support.fake_backend import FakeBackend
from support.ipv6 import needs_ipv6
from support.keyring import Keyring
from support.leftovers import fake_modules, leftovers  # noqa: F401
from support.processes import fake_server
from support.serving import ServerProcess, connect

pytestmark = pytest.mark.slow

PROXY_IS_UP = r'serving HTTP at http://127.0.0.1:(\d+), for the server at \S+:(\d+) and (\d+)'


@pytest.fixture(scope='module')
def check() -> ModuleType:
    """docker/healthcheck.py as a module."""
    spec = importlib.util.spec_from_file_location('healthcheck', DOCKER / 'healthcheck.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with fake_server('-http_port', '0', '-http_host', '127.0.0.1', '-http_api_key', 'secret') as server:
        yield server.wait_until_ready()
        server.stop()


def arguments(check: ModuleType, *words: str, **environ: str) -> object:
    return check.read_options(process(check, *words, **environ))


def process(check: ModuleType, *words: str, **environ: str) -> object:
    """A `bert-serving-start` as `find_processes` finds it."""
    return check.Process(7, 'bert-serving-start', words, environ)


def ask(check: ModuleType, *words: str, **environ: str) -> str:
    reason: str = check.check(arguments(check, *words, **environ), time.monotonic() + check.TIMEOUT_S)
    return reason


@contextlib.contextmanager
def ports_of_nobody(number: int = 1) -> Iterator[list[str]]:
    """Ports that nobody listens on, nor will."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for reserved in sockets:
            reserved.bind(('127.0.0.1', 0))
        yield [str(reserved.getsockname()[1]) for reserved in sockets]


@contextlib.contextmanager
def running(tmp_path: Path, *words: str, **environ: str) -> Iterator[int]:
    """The number of a process that looks like `bert-serving-start` with these words."""
    command = tmp_path / 'bert-serving-start'
    command.write_text('import sys\nprint("up", flush=True)\nsys.stdin.read()\n')
    with subprocess.Popen(
        [sys.executable, str(command), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def test_a_server_that_is_ready_is_healthy_by_either_way(check: ModuleType, server: ServerProcess) -> None:
    """HTTP, for which no key is needed, and ZeroMQ."""
    http_port = str(server.http_port)
    assert ask(check, '-http_port', http_port) == ''
    assert ask(check, BERT_SERVING_HTTP_PORT=http_port) == ''
    assert ask(check, '-port', str(server.port), '-port_out', str(server.port_out)) == ''


def test_a_server_with_keys_and_without_http_is_asked_with_its_own_key(
    check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which allows the status alone. Keys of a client that the environment names are not those of this server."""
    keys = Keyring(tmp_path)
    monkeypatch.setenv('BERT_SERVING_SERVER_KEY', str(tmp_path / 'nothing'))
    monkeypatch.setenv('BERT_SERVING_KEY_FILE', str(tmp_path / 'nothing'))
    with fake_server(*keys.words) as server:
        server.wait_until_ready()
        words = ('-port', str(server.port), '-port_out', str(server.port_out), *keys.words)
        assert ask(check, *words) == ''
        assert 'accepts only clients with a key' in ask(check, *words[:4])
        with (
            check.own_keys(keys.file('server')) as own,
            connect(server, **own) as client,
            pytest.raises(ServerError, match="principal '_health' lacks the grant 'encode'"),
        ):
            client.encode(['a'])
        Path(keys.file('server')).chmod(0o644)
        assert 'others can read or write it' in ask(check, *words)
        server.stop()


@contextlib.contextmanager
def frontend_with(files: TlsFiles) -> Iterator[Frontend]:
    """The port of a proxy of a backend in memory."""
    frontend = Frontend(create_app(FakeBackend()), Dispatcher(1, 1), '127.0.0.1', 0, 1 << 20, files)
    thread = threading.Thread(target=frontend.run, args=(5,))
    thread.start()
    try:
        yield frontend
    finally:
        frontend.stop()
        thread.join()
        frontend.close()


@pytest.mark.parametrize('client_ca', [False, True])
def test_a_server_with_tls_is_asked_by_https(check: ModuleType, client_ca: bool) -> None:
    files = localhost()
    words = ['-http_tls_cert', files.cert, '-http_tls_key', files.key]
    if client_ca:
        files = replace(files, client_ca=str(authority().ca))
        words += ['-http_tls_client_ca', str(authority().ca)]
    with frontend_with(files) as frontend:
        port = str(frontend.port)
        assert ask(check, '-http_port', port, *words) == ''
        assert ask(check, '-http_port', port).startswith('no answer at port'), 'it speaks no plain HTTP'
    assert ask(check, '-http_port', port, *words).startswith('no answer at port')


def test_a_proxy_that_the_environment_names_is_not_asked(
    check: ModuleType, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')
    assert ask(check, '-http_port', str(server.http_port)) == ''


def test_nobody_at_the_port_is_named(check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with ports_of_nobody(2) as (port, port_out):
        assert 'no answer at port %s' % port in ask(check, '-http_port', port)
        monkeypatch.setattr(check, 'TIMEOUT_S', 1)
        expected = 'no answer at ports %s and %s' % (port, port_out)
        assert ask(check, '-port', port, '-port_out', port_out) == expected


def test_who_is_no_proxy_of_ours_is_not_healthy(check: ModuleType, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, '-u', '-m', 'http.server', '--bind', '127.0.0.1', '0'],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        try:
            assert other.stdout is not None
            port = other.stdout.readline().split(' port ')[1].split()[0]
            assert ask(check, '-http_port', port).startswith('no answer at port %s' % port)
        finally:
            other.kill()


@pytest.mark.parametrize(
    'error',
    [
        ServerError('TooLarge', 'this is\n too large', 1),
        ProtocolError('the answer cannot be used'),
        RuntimeError('this client is closed'),
        ValueError('no address'),
        zmq.ZMQError(24),
        OSError(24, 'too many files'),
        AttributeError('it is a list'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_client_is_a_reason_of_one_line(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def client(*_args: object, **_how: object) -> object:
        raise error

    monkeypatch.setattr(check, 'BertClient', client)
    reason = ask(check, '-port', '7', '-port_out', '8')
    assert reason == 'no status at ports 7 and 8: %s' % ' '.join(str(error).split())


@contextlib.contextmanager
def peer(says: Callable[[socket.socket], None]) -> Iterator[str]:
    """The port of one that takes connections and answers none rightly; `says` is called ten times a second for each."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        listener.settimeout(0.1)
        is_over = threading.Event()

        def serve() -> None:
            connections = []
            while not is_over.is_set():
                with contextlib.suppress(TimeoutError):
                    connections.append(stack.enter_context(listener.accept()[0]))
                for connection in connections:
                    with contextlib.suppress(OSError):
                        says(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield str(listener.getsockname()[1])
        finally:
            is_over.set()
            thread.join()


@pytest.mark.parametrize('says', [lambda _: None, lambda connection: connection.send(b'H')], ids=['nothing', 'little'])
def test_all_have_the_same_time_and_one_that_is_silent_takes_none_of_the_others(
    check: ModuleType, server: ServerProcess, monkeypatch: pytest.MonkeyPatch, says: Callable[[socket.socket], None]
) -> None:
    """Docker gives ten seconds to a check, however many processes there are and however little is said at a time."""
    monkeypatch.setattr(check, 'TIMEOUT_S', 2)
    with peer(says) as port, ports_of_nobody(2) as (in_, out):
        started = time.monotonic()
        found = [
            arguments(check, *words)
            for words in (
                ('-http_port', port),
                ('-port', in_, '-port_out', out),
                ('-http_port', port),
                ('-port', port, '-port_out', port),
                ('-http_port', str(server.http_port)),
            )
        ]
        reasons = check.check_all(found, started + check.TIMEOUT_S)
        assert time.monotonic() - started < check.TIMEOUT_S + check.CLOSING_S + 1
    assert ['no answer' in reason for reason in reasons] == [True, True, True, True, False]
    assert reasons[-1] == ''


@pytest.mark.parametrize('name', ['Dockerfile', 'Dockerfile.gpu'])
def test_the_image_gives_the_check_more_than_it_takes(check: ModuleType, name: str) -> None:
    (line,) = instructions('HEALTHCHECK', name)
    assert '--timeout=%ds' % (check.TIMEOUT_S + check.CLOSING_S + 2) in line


def test_a_server_whose_worker_still_loads_says_so(check: ModuleType) -> None:
    with fake_server('-http_port', '0', '-http_host', '127.0.0.1', FAKE_WORKER_LOADS_SECONDS='60') as server:
        http_port, port, port_out = server.wait_for_log(PROXY_IS_UP).groups()
        expected = 'not ready: the server is starting'
        assert ask(check, '-http_port', http_port) == expected
        assert ask(check, '-port', port, '-port_out', port_out) == expected
        server.stop()


@pytest.mark.parametrize('words', [('-http_port', '0'), ('-port', '0')])
def test_ports_that_nobody_can_know_are_refused(check: ModuleType, words: tuple[str, ...]) -> None:
    assert 'give' in ask(check, *words)
    assert words[0] in ask(check, *words)


@needs_ipv6
def test_a_server_on_ipv6_alone_is_asked_there(check: ModuleType) -> None:
    with fake_server('-host', '::1', '-http_port', '0', '-http_host', '::1') as server:
        server.wait_until_ready()
        words = ('-port', str(server.port), '-port_out', str(server.port_out))
        assert ask(check, '-host', '[::1]', *words) == ''
        assert ask(check, '-host', '::', *words) == ''
        assert ask(check, '-http_port', str(server.http_port), '-http_host', '::1') == ''
        server.stop()


@pytest.mark.parametrize(('host', 'asked'), [('0.0.0.0', '127.0.0.1'), ('::', '::1'), ('10.1.2.3', '10.1.2.3')])
def test_the_address_asked_is_the_one_listened_on(check: ModuleType, host: str, asked: str) -> None:
    assert check.reachable(host) == asked


def test_it_finds_the_process_with_its_options_and_environment(check: ModuleType, tmp_path: Path) -> None:
    environ = {'BERT_SERVING_HTTP_PORT': '4321', 'BERT_SERVING_PORT': '4322', 'MARK': 'two=signs\nand lines'}
    with running(tmp_path, '-port', '4323', '-num_worker', '2', **environ) as pid:
        (found,) = (process for process in check.find_processes() if process.pid == pid)
    assert found.environ['MARK'] == environ['MARK']
    args = check.read_options(found)
    assert (args.http_port, args.port, args.num_worker) == (4321, 4323, 2)


UNREADABLE = [('-no_such_option', 'secret'), ('-port', 'secret'), ('secret',)]


@pytest.mark.parametrize('words', UNREADABLE)
def test_options_that_can_not_be_read_are_a_reason_and_stay_unsaid(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Exit code 2 is reserved by Docker. A word in the wrong place may be a key."""
    monkeypatch.setattr(check, 'find_processes', lambda: iter([process(check, *words)]))
    assert check.main() == 1
    expected = 'the options of bert-serving-start, process 7, cannot be read\n'
    assert tuple(capfd.readouterr()) == (expected, '')


@pytest.mark.parametrize('word', ['-h', '-help', '--help', '-version', '--version'])
def test_who_only_asks_for_help_or_the_release_is_no_server(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], word: str
) -> None:
    monkeypatch.setattr(check, 'find_processes', lambda: iter([process(check, word)]))
    assert check.main() == 1
    out, err = capfd.readouterr()
    assert err == ''
    assert out.splitlines() == ['neither bert-serving-start nor bert-serving-http runs in this container']


def test_it_ends_by_itself_whatever_a_process_is_given(tmp_path: Path) -> None:
    """As Docker runs it. Other servers of this machine may be found too, so only what is said of this one counts."""
    with running(tmp_path, '-no_such_option', 'secret') as pid:
        done = subprocess.run(
            [sys.executable, str(DOCKER / 'healthcheck.py')], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert 'process %d, cannot be read' % pid in done.stdout
    assert 'secret' not in done.stdout + done.stderr


def test_without_a_server_it_says_so(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, 'find_processes', lambda: iter(()))
    assert check.main() == 1
    assert 'neither bert-serving-start nor bert-serving-http runs' in capsys.readouterr().out


def test_one_reason_is_enough_to_be_unhealthy(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ill, well = (process(check, '-port', port) for port in ('7', '8'))
    monkeypatch.setattr(check, 'check', lambda args, deadline: 'no answer' if args.port == 7 else '')
    monkeypatch.setattr(check, 'find_processes', lambda: iter([well, ill]))
    assert check.main() == 1
    assert capsys.readouterr().out == 'no answer\n'
    monkeypatch.setattr(check, 'find_processes', lambda: iter([well]))
    assert check.main() == 0


def test_it_loads_no_tensorflow() -> None:
    code = 'import runpy, sys; runpy.run_path(%r); sys.exit("tensorflow" in sys.modules)' % str(
        DOCKER / 'healthcheck.py'
    )
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0
