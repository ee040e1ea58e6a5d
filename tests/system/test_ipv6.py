"""A whole server on IPv6: the ZeroMQ ports, HTTP, the commands; and addresses on which no server can listen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bert_serving.client import BertClient
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.server_process import ServerProcess as BenchmarkServer
from support.ipv6 import needs_ipv6
from support.processes import SINK, children_of, fake_server
from support.proxies import ProxyProcess, curl
from support.serving import SMALL_MODEL, ServerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

BODY = ('-d', '{"id": 1, "texts": ["hello world"]}')


def encode(ip: str, server: ServerProcess, timeout: int = 60_000) -> tuple[int, ...]:
    with BertClient(ip, server.port, server.port_out, timeout=timeout) as client:
        assert client.status['server_ip'] == ip.strip('[]')
        shape: tuple[int, ...] = client.encode(['hello world']).shape
        return shape


def terminate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', 'from bert_serving.server import cli; cli.terminate_main()', *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_ipv6
def test_a_real_server_on_ipv6_serves_clients_http_and_a_proxy_and_is_stopped_by_its_command() -> None:
    words = ('-model_dir', SMALL_MODEL, '-host', '::1', '-http_port', '0', '-http_host', '::1')
    with ServerProcess(*words) as server:
        server.wait_until_ready()
        for ip in ('::1', '[::1]'):
            assert encode(ip, server) == (1, 32)
        with pytest.raises(TimeoutError):
            encode('127.0.0.1', server, timeout=300)
        url = 'http://[::1]:%d' % server.http_port
        assert curl(url + '/encode', '--globoff', *BODY)[0] == 200
        assert curl(url + '/status/server', '--globoff')[1]['host'] == '::1'
        with ProxyProcess(server.port, server.port_out, '-ip', '[::1]') as proxy:
            proxy.wait_until_ready()
            assert proxy.curl('/encode', *BODY)[0] == 200
            assert proxy.stop() == 0
        done = terminate('-ip', '::1', '-port', str(server.port))
        assert (done.returncode, done.stderr) == (0, '')
        assert done.stdout == 'shutdown signal sent to [::1]:%d\n' % server.port
        assert server.wait() == 0


@needs_ipv6
def test_a_server_that_listens_everywhere_on_ipv6_takes_ipv4_too_and_so_does_its_next_sink() -> None:
    with fake_server('-host', '::', '-http_port', '0', '-http_host', '::1') as server:
        server.wait_until_ready()
        assert encode('127.0.0.1', server) == encode('::1', server) == encode('localhost', server) == (1, 3)
        (sink,) = children_of(server, SINK)
        os.kill(sink, signal.SIGKILL)
        assert encode('::1', server) == encode('127.0.0.1', server) == (1, 3)
        assert wait_until(lambda: curl('http://[::1]:%d/encode' % server.http_port, '--globoff', *BODY)[0] == 200)
        assert server.stop() == 0


def _own_addresses() -> list[str]:
    """An address of this machine of each family that is not on the loopback interface."""
    found = {}
    for interface, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if interface != 'lo' and address.family.name in ('AF_INET', 'AF_INET6'):
                found.setdefault(address.family, address.address)
    return list(found.values())


@pytest.mark.parametrize('address', _own_addresses())
def test_a_server_on_one_address_alone_obeys_a_shutdown_from_that_address(address: str) -> None:
    """Nobody on this machine can reach it over the loopback interface."""
    with fake_server('-host', address) as server:
        server.wait_until_ready()
        assert encode(address, server) == (1, 3)
        assert terminate('-ip', address, '-port', str(server.port)).returncode == 0
        assert server.wait() == 0


@needs_ipv6
def test_the_benchmark_reaches_its_server_on_ipv6(tmp_path: Path) -> None:
    settings = Settings(model_dir=SMALL_MODEL, cpu=True, port=0, port_out=0, host='::')
    with BenchmarkServer(settings, str(tmp_path / 'log'), 120) as server:
        assert server.address.host == '::1'
        with BertClient(*server.address[:3], timeout=60_000) as client:
            assert client.encode(['hello']).shape == (1, 32)


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (('-host', 'no.such.host.invalid'), '-host no.such.host.invalid: cannot resolve it'),
        (('-host', '203.0.113.7'), '-host 203.0.113.7: cannot listen on it'),
        (('-host', '2001:db8::7'), '-host 2001:db8::7: '),
        (('-host', 'http://localhost'), '-host http://localhost: cannot resolve it'),
        (('-host', '127.0.0.1:5555'), '-host 127.0.0.1:5555: cannot resolve it'),
        (('-host', ''), "argument -host: expected an address or a name, got ''"),
        (('-http_port', '0', '-http_host', '203.0.113.7'), '-http_host 203.0.113.7: cannot listen on it'),
        (
            ('-http_port', '0', '-http_host', 'no.such.host.invalid'),
            '-http_host no.such.host.invalid: cannot resolve it',
        ),
    ],
)
def test_an_address_on_which_no_server_can_listen_is_one_line_before_any_process_starts(
    words: tuple[str, ...], says: str
) -> None:
    with fake_server(*words) as server:
        assert server.wait() == 2
    (line,) = [line for line in server.log.splitlines() if 'error' in line]
    assert says in line
    assert 'Traceback' not in server.log
    assert 'could take a while' not in server.log, 'no child was started'


def test_a_shutdown_of_a_name_without_an_address_is_one_line() -> None:
    done = terminate('-ip', 'no.such.host.invalid', '-port', '5555')
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith('bert-serving-terminate: error: -ip no.such')
    assert done.stderr.count('\n') == 1


@needs_ipv6
def test_a_shutdown_of_nobody_names_the_address_in_brackets() -> None:
    done = terminate('-ip', '::1', '-port', '1', '-timeout', '300')
    assert done.returncode == 1
    assert 'no server is listening at [::1]:1 (waited 300 ms)' in done.stderr
