"""The image's health check, against real servers with fake workers: right whatever the options, and it says what is wrong."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from files import DOCKER
from leftovers import fake_modules, leftovers  # noqa: F401
from processes import fake_server
from serving import ServerProcess

PROXY_IS_UP = r'HTTP is served at http://127.0.0.1:(\d+), for the server at \S+:(\d+) and (\d+)'
HTTP_PORT = r'all set, ready to serve request! .*http_port=(\d+)'


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
    parser = check.PARSERS['bert-serving-start']()
    parser.environ = environ
    return parser.parse_args(words)


def test_a_server_that_is_ready_is_healthy_by_either_way(check: ModuleType, server: ServerProcess) -> None:
    """HTTP, for which no key is needed, and ZeroMQ."""
    http_port = server.wait_for_log(HTTP_PORT)[1]
    assert check.check(arguments(check, '-http_port', http_port)) == ''
    assert check.check(arguments(check, BERT_SERVING_HTTP_PORT=http_port)) == ''
    assert check.check(arguments(check, '-port', str(server.port), '-port_out', str(server.port_out))) == ''


def test_a_proxy_that_the_environment_names_is_not_asked(
    check: ModuleType, server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')
    assert check.check(arguments(check, '-http_port', server.wait_for_log(HTTP_PORT)[1])) == ''


def test_nobody_at_the_port_is_named(check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as reserved:
        reserved.bind(('127.0.0.1', 0))
        port = reserved.getsockname()[1]
        assert 'no answer at port %d' % port in check.check(arguments(check, '-http_port', str(port)))
    monkeypatch.setattr(check, 'TIMEOUT_S', 1)
    assert 'no answer at ports 1 and 2' in check.check(arguments(check, '-port', '1', '-port_out', '2'))


def test_who_is_no_proxy_of_ours_is_not_healthy(check: ModuleType, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, '-u', '-m', 'http.server', '--bind', '127.0.0.1', '0'], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        port = other.stdout.readline().split(' port ')[1].split()[0]
        assert check.check(arguments(check, '-http_port', port)).startswith('no answer at port %s' % port)
        other.kill()


def test_a_server_whose_worker_still_loads_says_so(check: ModuleType) -> None:
    with fake_server('-http_port', '0', '-http_host', '127.0.0.1', FAKE_WORKER_LOADS_SECONDS='60') as server:
        http_port, port, port_out = server.wait_for_log(PROXY_IS_UP).groups()
        expected = 'not ready: the server behind is starting'
        assert check.check(arguments(check, '-http_port', http_port)) == expected
        assert check.check(arguments(check, '-port', port, '-port_out', port_out)) == expected
        server.stop()


@pytest.mark.parametrize('words', [('-http_port', '0'), ('-port', '0')])
def test_ports_that_nobody_can_know_are_refused(check: ModuleType, words: tuple[str, ...]) -> None:
    assert 'give' in check.check(arguments(check, *words))
    assert words[0] in check.check(arguments(check, *words))


@pytest.mark.parametrize(('host', 'asked'), [('0.0.0.0', '127.0.0.1'), ('::', '::1'), ('10.1.2.3', '10.1.2.3')])
def test_the_address_asked_is_the_one_listened_on(check: ModuleType, host: str, asked: str) -> None:
    assert check.reachable(host) == asked


def test_it_finds_the_process_with_its_options_and_environment(check: ModuleType, tmp_path: Path) -> None:
    command = tmp_path / 'bert-serving-start'
    command.write_text('import sys\nprint("up", flush=True)\nsys.stdin.read()\n')
    env = {**os.environ, 'BERT_SERVING_HTTP_PORT': '4321', 'BERT_SERVING_PORT': '4322', 'MARK': 'two=signs\nand lines'}
    with subprocess.Popen(
        [sys.executable, str(command), '-port', '4323', '-num_worker', '2'], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        found = [args for args in check.find_processes() if args.http_port == 4321]
        assert [(args.port, args.port_out, args.num_worker) for args in found] == [(4323, 5556, 2)]
        assert process.stdin is not None
        process.stdin.close()


def test_without_a_server_it_says_so(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, 'find_processes', lambda: iter(()))
    assert check.main() == 1
    assert 'neither bert-serving-start nor bert-serving-http runs' in capsys.readouterr().out


def test_one_reason_is_enough_to_be_unhealthy(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, 'find_processes', lambda: iter(['well', 'ill']))
    monkeypatch.setattr(check, 'check', {'well': '', 'ill': 'no answer'}.get)
    assert check.main() == 1
    assert capsys.readouterr().out == 'no answer\n'
    monkeypatch.setattr(check, 'find_processes', lambda: iter(['well']))
    assert check.main() == 0


def test_it_loads_no_tensorflow() -> None:
    code = 'import runpy, sys; runpy.run_path(%r); sys.exit("tensorflow" in sys.modules)' % str(
        DOCKER / 'healthcheck.py'
    )
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0
