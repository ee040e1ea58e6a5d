"""The life of a server as whoever runs it sees it: start, stop, exit codes, words, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import zmq

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.errors import ServingError
from bert_serving.server.helper import get_args_parser, get_shutdown_parser
from support.leftovers import leftovers_in
from support.processes import fake_server
from support.serving import MODELS, SMALL_MODEL, FakeServer, ServerProcess, connect, serve
from support.waiting import wait_until


def ask(server: ServerProcess, texts: list[str]) -> np.ndarray:
    with connect(server) as client:
        return client.encode(texts)


def run_command(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', module, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_with_exit_code_0(number: int) -> None:
    with fake_server() as server:
        server.wait_until_ready()
        assert ask(server, ['hello']).shape == (1, 3)
        assert server.stop(number) == 0
        assert 'terminated!' in server.log
        assert 'Traceback' not in server.log


def test_bert_serving_terminate_stops_the_server_with_exit_code_0() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        done = run_command('support.terminate_cli', '-port', str(server.port))
        assert done.returncode == 0, done.stderr
        assert 'shutdown signal sent' in done.stdout
        assert server.wait() == 0


def test_bert_serving_terminate_says_signal_sent_only_where_a_server_listens() -> None:
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        done = run_command('support.terminate_cli', '-port', str(unused.getsockname()[1]), '-timeout', '300')
    assert done.returncode == 1
    assert done.stdout == ''
    assert 'no server is listening at localhost:' in done.stderr
    assert done.stderr.count('\n') == 1


def test_a_stopped_server_leaves_no_termination_behind_for_the_next_on_its_port() -> None:
    with fake_server() as first:
        first.wait_until_ready()
        ports = str(first.port), str(first.port_out)
        assert first.stop() == 0
    with fake_server('-port', ports[0], '-port_out', ports[1]) as second:
        second.wait_until_ready()
        for _ in range(3):
            assert ask(second, ['still there']).shape == (1, 3)
        assert second.stop() == 0


def wait_until_accepted(client: BertClient, requests: int) -> None:
    """Wait until the server has accepted so many requests in all."""
    wait_until(lambda: client.server_status['statistic']['num_data_request'] >= requests)


def rows_to_compute(client: BertClient) -> int:
    """The rows that wait in the server or are with its workers."""
    statistic = client.server_status['statistic']
    return int(statistic['queue_rows'] + statistic['in_flight_rows'])


def test_accepted_requests_are_answered_before_the_end_and_new_ones_refused(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server('-max_batch_size', '2', FAKE_WORKER_GATE=str(gate)) as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['text %d' % i for i in range(20)], blocking=False)
            wait_until_accepted(client, 1)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_log('shutting down after answering')
            late = connect(server, timeout=1000, ignore_all_checks=True)
            with late, pytest.raises(TimeoutError):
                late.encode(['for the next server'])
            gate.touch()
            (answer,) = client.fetch_all()
            assert answer.shape == (20, 3)
        assert server.wait() == 0


def test_a_request_that_comes_while_the_server_drains_is_answered_by_the_next(tmp_path: Path) -> None:
    gate = tmp_path / 'gate'
    with fake_server(FAKE_WORKER_GATE=str(gate)) as first:
        first.wait_until_ready()
        ports = ['-port', str(first.port), '-port_out', str(first.port_out)]
        with connect(first) as client:
            client.encode(['early'], blocking=False)
            wait_until_accepted(client, 1)
            first.process.send_signal(signal.SIGTERM)
            first.wait_for_log('shutting down after answering')
            client.encode(['late'], blocking=False)
            gate.touch()
            assert first.wait() == 0
            with fake_server(*ports) as second:
                second.wait_until_ready()
                assert [answer.shape for answer in client.fetch_all()] == [(1, 3), (1, 3)]
                assert second.stop() == 0


def test_a_client_that_has_gone_does_not_hold_up_the_end() -> None:
    with fake_server(FAKE_WORKER_SECONDS='0.3') as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['nobody will read this'], blocking=False)
            wait_until_accepted(client, 1)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 10, 'the limit is 30 s'
        assert 'no client has subscribed' in server.log


def test_a_request_that_came_while_the_workers_load_is_answered_even_if_the_server_is_told_to_stop_then() -> None:
    with fake_server(FAKE_WORKER_LOADS_SECONDS='2') as server:
        ports = server.wait_for_log(r'requests come in on port (\d+), answers go out on port (\d+)')
        with BertClient(port=int(ports[1]), port_out=int(ports[2]), timeout=30_000) as client:
            client.encode(['early'], blocking=False)
            wait_until_accepted(client, 1)
            server.process.send_signal(signal.SIGTERM)
            assert client.fetch_all()[0].shape == (1, 3)
        assert server.wait() == 0
        assert 'all set' not in server.log


def test_the_time_limit_of_a_shutdown_holds(tmp_path: Path) -> None:
    with fake_server('-shutdown_timeout', '1', FAKE_WORKER_GATE=str(tmp_path / 'never')) as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['never answered'], blocking=False)
            wait_until_accepted(client, 1)
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 10
        assert '1 accepted requests were not answered' in server.log


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with fake_server(FAKE_WORKER_GATE=str(tmp_path / 'never')) as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['never answered'], blocking=False)
            wait_until_accepted(client, 1)
            server.process.send_signal(signal.SIGTERM)
            server.wait_for_log('shutting down after answering')
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 10


def test_a_signal_while_it_starts_stops_the_server() -> None:
    with ServerProcess('-model_dir', SMALL_MODEL) as server:
        server.wait_for_log('freeze, optimize and export graph')
        assert server.stop(within_s=30) == 0
        assert 'ready and listening' not in server.log


@pytest.mark.parametrize('order', ['request_drain', 'request_stop'])
def test_an_order_that_comes_before_the_start_is_obeyed(order: str) -> None:
    args = get_args_parser().parse_args(['-model_dir', SMALL_MODEL, '-cpu', '-port', '0', '-port_out', '0'])
    server = FakeServer(args)
    getattr(server, order)()  # a signal between the handler's installation and the start
    server.start()
    server.join(30)
    assert not server.is_alive()
    assert not server.is_ready.is_set()


@pytest.mark.parametrize('option', ['-port', '-port_out'])
def test_a_port_in_use_is_one_clear_line_and_exit_code_1(option: str) -> None:
    with socket.socket() as taken:
        taken.bind(('0.0.0.0', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with fake_server(option, str(port)) as server:
            assert server.wait() == 1
            errors = [line for line in server.log.splitlines() if ' E:' in line]
            assert len(errors) == 1, server.log
            assert '%s %d: cannot listen on it: the port is in use' % (option, port) in errors[0]
            assert 'Traceback' not in server.log


def test_a_child_that_fails_at_start_ends_the_server_with_the_childs_reason() -> None:
    with fake_server('-num_worker', '2', FAKE_WORKER_DIES_AT_START='1') as server:
        assert server.wait() == 1
        assert re.search(r'E:VENTILATOR:.*WORKER-1: RuntimeError: no such device', server.log), server.log


def test_a_worker_that_ends_by_an_exception_is_a_dead_worker_and_not_the_end_of_the_server() -> None:
    with fake_server('-num_worker', '2', '-max_batch_size', '1', FAKE_WORKER_CRASHES='0') as server:
        server.wait_until_ready()
        assert ask(server, ['for', 'both', 'of', 'them']).shape == (4, 3)
        server.wait_for_log('WORKER-0 ended with exit code 70 .*KeyboardInterrupt.*its jobs go to other workers')
        assert server.stop() == 0


@pytest.mark.parametrize(
    ('message', 'rows'),
    [
        (b'[' + b'1' * 5000 + b']', b'1000'),
        (b'["a"]', b'5000000000'),
        (b'["a"]', b'300'),
        (b'[' * 100_000, b'1000'),
        (b'{"a": NaN}', b'1'),
        (b'["\\ud800", 5]', b'2'),
        (b'\xff\xfe', b'1'),
    ],
)
def test_no_message_ends_the_server_and_its_sender_is_told(
    module_server: ServerProcess, message: bytes, rows: bytes
) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as out, context.socket(zmq.SUB) as back:
        out.setsockopt(zmq.LINGER, 1000)
        back.setsockopt(zmq.LINGER, 0)
        back.setsockopt(zmq.SUBSCRIBE, b'odd')
        back.connect('tcp://127.0.0.1:%d' % module_server.port_out)
        out.connect('tcp://127.0.0.1:%d' % module_server.port)
        out.send_multipart([b'odd', message, b'1', rows])
        assert back.poll(10_000)
        assert json.loads(back.recv_multipart()[1])['error']['type'] == 'BadRequest'
    assert ask(module_server, ['hello']).shape == (1, 3)


@pytest.fixture(scope='module')
def module_server() -> Iterator[ServerProcess]:
    with fake_server() as server:
        yield server.wait_until_ready()
        assert server.stop() == 0


def test_each_worker_sees_the_gpu_it_was_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = SimpleNamespace(getAvailable=lambda **_how: [0, 3])
    monkeypatch.setitem(sys.modules, 'GPUtil', gpus)
    words = ['-model_dir', SMALL_MODEL, '-port', '0', '-port_out', '0', '-num_worker', '3', '-device_map', '3', '-1']
    with FakeServer(get_args_parser().parse_args(words)) as server:
        children = psutil.Process().children()
        seen = {
            child.environ()['CUDA_VISIBLE_DEVICES'] for child in children if 'support.fake_worker' in child.cmdline()
        }
        assert seen == {'3', '-1'}
        with connect(server) as client:
            assert client.server_config['device_map'] == [3, -1, 3]


def test_the_jobs_of_a_dead_worker_are_answered_by_another() -> None:
    with fake_server('-num_worker', '2', '-max_batch_size', '2', FAKE_WORKER_SECONDS='0.1') as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['text %d' % i for i in range(60)], blocking=False)
            wait_until(lambda: 0 < rows_to_compute(client) < 60)
            os.kill(children_of(server, 'support.fake_worker')[0], signal.SIGKILL)
            (answer,) = client.fetch_all()
            np.testing.assert_array_equal(answer, client.encode(['text %d' % i for i in range(60)]))
        assert server.stop() == 0


def test_when_the_parent_is_killed_the_children_go_too_within_two_seconds() -> None:
    with fake_server('-num_worker', '2') as server:
        server.wait_until_ready()
        assert len(children_of(server, 'child_main')) == 3
        server.process.kill()
        server.process.wait()
        assert not leftovers_in(tempfile.gettempdir(), within_s=2)


def children_of(server: ServerProcess, word: str) -> list[int]:
    children = psutil.Process(server.process.pid).children()
    return [child.pid for child in children if any(word in part for part in child.cmdline())]


def test_ctrl_c_at_a_terminal_reaches_the_parent_alone() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        groups = {os.getpgid(pid) for pid in children_of(server, 'child_main')}
        assert os.getpgid(server.process.pid) not in groups
        assert len(groups) == 2


def test_a_service_manager_that_signals_every_process_still_gets_a_clean_drain() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        for pid in [*children_of(server, 'child_main'), server.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (['-model_dir', '/no/such/folder'], '/no/such/folder'),
        (['-model_dir', SMALL_MODEL, '-ckpt_name', 'other.ckpt'], 'other.ckpt.index'),
        (['-model_dir', SMALL_MODEL, '-max_seq_len', '65'], '64'),
        (['-model_dir', SMALL_MODEL, '-pooling_layer', '-5'], '-5'),
        (['-model_dir', SMALL_MODEL, '-graph_tmp_dir', '/no/such/folder'], '/no/such/folder'),
        (['-model_dir', SMALL_MODEL, '-graph_tmp_dir', '/proc'], '/proc'),
        (['-model_dir', SMALL_MODEL, '-http_port', '8125', '-cors', 'somewhere'], '-cors'),
        (['-max_seq_len', '2'], '-max_seq_len'),
    ],
)
def test_options_that_can_not_work_are_one_line_and_exit_code_2_before_any_process(words: list[str], says: str) -> None:
    with ServerProcess(*words) as server:
        assert server.wait() == 2
        assert says in server.log
        assert server.log.count('\n') == 1, server.log
        assert 'export graph' not in server.log


def test_a_head_that_the_checkpoint_lacks_ends_the_start_before_any_worker() -> None:
    with ServerProcess('-model_dir', SMALL_MODEL, '-pooling_strategy', 'CLASSIFICATION') as server:
        assert server.wait() == 2
        errors = [line for line in server.log.splitlines() if ' E:' in line]
        assert len(errors) == 1
        assert 'output_weights' in errors[0]
        assert 'output_bias' in errors[0]
        assert 'GRAPHOPT: ' in errors[0]
        assert 'SINK' not in server.log
        assert 'Traceback' not in server.log


def test_the_start_prints_the_table_and_the_lines_of_1_10() -> None:
    tuned = str(MODELS / 'tuned_L-4_H-32_A-4')
    words = ('-model_dir', SMALL_MODEL, '-tuned_model_dir', tuned, '-ckpt_name', 'model.ckpt-343')
    with ServerProcess(*words, '-export_cache', 'NONE') as server:
        server.wait_until_ready()
        assert server.stop() == 0
        assert 'checkpoint (override by the fine-tuned model): ' + os.path.join(tuned, 'model.ckpt-343') in server.log
        assert 'I:WORKER-0:[' in server.log
        assert 'ready and listening!' in server.log
        assert 'I:GRAPHOPT:[' in server.log
        assert server.process.stdout is not None
        table = server.process.stdout.read()
        assert 'ARG   VALUE' in table
        assert 'max_seq_len = 25' in table


def test_the_environment_sets_options(tmp_path: Path) -> None:
    variables = {
        'BERT_SERVING_MODEL_DIR': SMALL_MODEL,
        'BERT_SERVING_GRAPH_TMP_DIR': str(tmp_path),
        'BERT_SERVING_EXPORT_CACHE': 'NONE',
    }
    with ServerProcess(environment=variables) as server:
        server.wait_until_ready()
        assert 'optimized graph is stored at: %s/' % tmp_path in server.log
        assert server.stop() == 0
    assert not list(tmp_path.iterdir())


def test_sockets_lie_in_zeromq_sock_tmp_dir_private_and_only_while_the_server_runs() -> None:
    with tempfile.TemporaryDirectory(dir='/tmp', prefix='bss') as folder:
        with fake_server(ZEROMQ_SOCK_TMP_DIR=folder) as server:
            server.wait_until_ready()
            (made,) = Path(folder).iterdir()
            assert made.stat().st_mode & 0o777 == 0o700
            assert server.stop() == 0
        assert list(Path(folder).iterdir()) == []


def test_it_works_in_a_script_without_a_main_guard(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(
        textwrap.dedent("""
        from bert_serving.client import BertClient
        from bert_serving.server.helper import get_args_parser
        from support.serving import FakeServer

        args = get_args_parser().parse_args(['-model_dir', %r, '-cpu', '-port', '0', '-port_out', '0'])
        with FakeServer(args) as server:
            assert server.is_ready.is_set()
            with BertClient(port=server.port, port_out=server.port_out, timeout=30000) as client:
                print(client.encode(['hello', 'world']).shape)
        print('over', server.is_alive(), server.error)
    """)
        % SMALL_MODEL
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ['(2, 3)', 'over False None'], done.stderr


def test_start_join_and_shutdown_of_1_10s_python_api() -> None:
    args = get_args_parser().parse_args(['-model_dir', SMALL_MODEL, '-cpu', '-port', '0', '-port_out', '0'])
    server = FakeServer(args)
    server.start()
    assert server.is_ready.wait(60)
    BertServer.shutdown(get_shutdown_parser().parse_args(['-port', str(server.port), '-timeout', '5000']))
    server.join(30)
    assert not server.is_alive()
    assert server.error is None
    server.close()


def test_a_server_that_can_not_start_raises_where_it_is_entered() -> None:
    with socket.socket() as taken:
        taken.bind(('0.0.0.0', 0))
        taken.listen()
        args = get_args_parser().parse_args(['-model_dir', SMALL_MODEL, '-cpu', '-port', str(taken.getsockname()[1])])
        with pytest.raises(ServingError, match='in use'), FakeServer(args):
            pass


def test_two_servers_live_side_by_side_in_one_process() -> None:
    words = ('-model_dir', SMALL_MODEL)
    with serve(*words, server_class=FakeServer) as one, serve(*words, server_class=FakeServer) as two:
        threads_before = threading.active_count()
        for server in (one, two):
            with connect(server) as client:
                assert client.encode(['hello']).shape == (1, 3)
                assert client.server_config['port'] == server.port
        assert threading.active_count() == threads_before
