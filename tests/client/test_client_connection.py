# -*- coding: utf-8 -*-
"""A server that is away, restarts or keeps silent; two threads, a fork, and the end of a client."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import BertClient, SharedClientError
from support.scripted_server import vectors


@contextlib.contextmanager
def nobody():
    """A port on which nobody listens, nor will while this lasts."""
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(('127.0.0.1', 0))
        yield taken.getsockname()[1]


class InThread(object):
    """Runs a call in a thread; ``result()`` is what it returned, or raises what it raised."""

    def __init__(self, function, *arguments):
        self._thread = threading.Thread(target=self._run, args=(function,) + arguments)
        self._thread.daemon = True
        self._thread.start()

    def _run(self, function, *arguments):
        self._value = self._error = None
        try:
            self._value = function(*arguments)
        except Exception as error:
            self._error = error

    def result(self):
        self._thread.join(20)
        if self._thread.is_alive():
            raise AssertionError('it still runs')
        if self._error:
            raise self._error
        return self._value


# ------------------------------------------------------------------------------------------------- restarts


def test_a_server_restarts_between_two_calls(server, client):
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    server.restart()
    np.testing.assert_array_equal(client.encode(['b']), vectors(['b']))


def test_what_is_pending_is_sent_again_as_it_was_and_the_rest_is_not(server, client):
    client.encode(['answered'])
    server.hold()
    client.encode(['pending', 'as well'], blocking=False)
    client.encode(['too'], blocking=False)
    server.wait_for(3)
    server.stop()
    server.script = server.answer
    server.start()
    first, second = client.fetch_all()
    np.testing.assert_array_equal(first, vectors(['pending', 'as well']))
    np.testing.assert_array_equal(second, vectors(['too']))
    frames = [request.frames for request in server.requests]
    assert frames[3:] == frames[1:3]


def test_a_client_may_be_made_before_its_server(server, connect):
    server.stop()
    made = InThread(connect, server)
    server.start()
    np.testing.assert_array_equal(made.result().encode(['a']), vectors(['a']))


def test_an_answer_to_what_was_sent_twice_counts_once(server, client):
    server.script = lambda request: 2 * server.answer(request)
    for text in ['a', 'b', 'c']:
        client.encode([text], blocking=False)
    assert len(list(client.fetch())) == 3
    np.testing.assert_array_equal(client.encode(['d']), vectors(['d']))


def test_what_is_asked_while_the_server_is_away_goes_out_when_it_is_back(server, client):
    server.stop()
    client.encode(['a'], blocking=False)
    server.start()
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a']))


def test_asking_without_waiting_needs_no_second_call(server, connect):
    client = connect(server, ignore_all_checks=True)
    client.encode(['a'], blocking=False)  # the connection may not stand yet
    assert server.wait_for(1)[0].texts == ['a']


# ------------------------------------------------------------------------------------------------- no silent wait


def test_without_a_server_a_timeout_is_kept():
    with nobody() as port:
        with pytest.raises(bert_serving.client.TimeoutError) as caught:
            BertClient(ip='127.0.0.1', port=port, port_out=port, timeout=100)
        assert 'no connection to tcp://127.0.0.1:%d (requests) and' % port in str(caught.value)


def test_a_wait_for_a_server_is_on_the_log(server, connect, monkeypatch, caplog):
    monkeypatch.setattr(bert_serving.client, '_QUIET_AWAY_S', 0.05)
    monkeypatch.setattr(bert_serving.client, '_TICK_S', 0.02)
    client = connect(server, ignore_all_checks=True)
    server.stop()
    client.timeout = 1500
    with caplog.at_level(logging.WARNING, 'bert_serving.client'):
        with pytest.raises(bert_serving.client.TimeoutError):
            client.encode(['a secret text'])
    messages = [record.getMessage() for record in caplog.records]
    assert 2 <= len(messages) <= 6  # again and again, but at growing intervals
    for message in messages:
        assert 'tcp://127.0.0.1:%d (requests)' % server.port in message
        assert 'tcp://127.0.0.1:%d (results)' % server.port_out in message
        assert 'secret' not in message


def test_a_port_that_is_wrong_is_told_from_one_that_is_right(server):
    with nobody() as port:
        with pytest.raises(bert_serving.client.TimeoutError) as caught:
            BertClient(ip='127.0.0.1', port=server.port, port_out=port, timeout=1000)
    assert 'no connection to tcp://127.0.0.1:%d (results)' % port in str(caught.value)
    assert ':%d ' % server.port not in str(caught.value)


def test_a_server_that_is_there_and_silent_is_on_the_log(server, client, monkeypatch, caplog):
    for name in ('_QUIET_AWAY_S', '_QUIET_THERE_S', '_TICK_S'):
        monkeypatch.setattr(bert_serving.client, name, 0.05)
    server.hold()
    client.timeout = 300
    with caplog.at_level(logging.WARNING, 'bert_serving.client'):
        with pytest.raises(bert_serving.client.TimeoutError):
            client.encode(['a'])
    assert ' pending_requests=1: connected to tcp://127.0.0.1' in caplog.records[0].getMessage()


@pytest.mark.parametrize('is_closed', [False, True])
def test_a_program_without_standard_error_waits_and_shows_no_progress(is_closed, server, client, monkeypatch):
    for name in ('_QUIET_AWAY_S', '_QUIET_THERE_S', '_TICK_S'):
        monkeypatch.setattr(bert_serving.client, name, 0.01)
    stream = None
    if is_closed:
        stream = open(os.devnull, 'w')
        stream.close()
    monkeypatch.setattr(sys, 'stderr', stream)
    np.testing.assert_array_equal(client.encode(['a'], show_progress=True), vectors(['a']))
    server.hold()
    client.timeout = 100
    with pytest.raises(bert_serving.client.TimeoutError):
        client.encode(['a'])


def test_the_log_is_seen_where_no_logging_is_set_up():
    code = (
        'import bert_serving.client as c; c._QUIET_AWAY_S = c._TICK_S = 0.05\n'
        'try: c.BertClient(ip="127.0.0.1", port=%d, port_out=%d, timeout=300)\n'
        'except c.TimeoutError: pass'
    )
    with nobody() as port:
        child = subprocess.Popen([sys.executable, '-c', code % (port, port)], stderr=subprocess.PIPE)
        error = child.communicate()[1].decode('utf-8')
    assert child.returncode == 0
    assert 'waiting for the server seconds=0 ' in error
    assert 'No handlers could be found' not in error or sys.version_info[0] == 2


# ------------------------------------------------------------------------------------------------- sharing


def test_use_by_two_threads_at_once(server, client):
    server.hold()
    first = InThread(client.encode, ['first'])
    (request,) = server.wait_for(1)
    for call in (
        lambda: client.encode(['second']),
        lambda: client.server_config,
        lambda: next(client.listen()),
        lambda: next(client.encode_async([['second']])),
    ):
        with pytest.raises(SharedClientError, match='another thread'):
            call()
    assert client.status['num_pending_request'] == 1  # asks nobody, so it may be looked at
    server.publish(server.result(request, vectors(['first'])))
    np.testing.assert_array_equal(first.result(), vectors(['first']))


def test_use_by_two_threads_in_turn(client):
    for text in ['a', 'b']:
        np.testing.assert_array_equal(InThread(client.encode, [text]).result(), vectors([text]))


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
@pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
@pytest.mark.parametrize('fixture', ['client', 'pool'])
def test_use_after_a_fork(request, server, fixture):
    client = request.getfixturevalue(fixture)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        told = b'nothing raised'
        try:
            client.encode(['a'])
        except SharedClientError as error:
            told = str(error).encode('ascii')
        finally:
            os.write(writer, told)
            client.close()  # harmless
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, 'rb') as pipe:
        assert b'process %d and is used in process %d' % (os.getpid(), child) in pipe.read()
    os.waitpid(child, 0)
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


# ------------------------------------------------------------------------------------------------- the end


def test_close_is_prompt_and_may_be_repeated(server, connect):
    with nobody() as port:
        lonely = BertClient(ip='127.0.0.1', port=port, port_out=port, ignore_all_checks=True)
        lonely.encode(['a'], blocking=False)
        since = time.time()
        lonely.close()
        lonely.close()
        assert time.time() - since < 5
    with connect(server) as client:
        pass
    client.close()
    for call in (lambda: client.encode(['a']), lambda: client.server_status):
        with pytest.raises(RuntimeError, match='closed'):
            call()
    assert list(client.listen()) == []


def test_close_sends_what_was_asked_before(server, connect):
    client = connect(server)
    client.encode(['a' * (20 << 20)], blocking=False)  # more than the buffers of TCP take at once
    client.close()
    assert len(server.wait_for(1)[0].payload) > 20 << 20


def test_close_ends_the_wait_of_another_thread(server, client, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_TICK_S', 60)  # so that it does not just look up by itself
    server.hold()
    waiting = InThread(client.encode, ['a'])
    server.wait_for(1)
    client.close()
    with pytest.raises(RuntimeError, match='closed'):
        waiting.result()
    assert client._courier._link._context.closed


@pytest.mark.skipif(not hasattr(signal, 'SIGUSR1'), reason='no such signal here')
def test_close_in_a_signal_handler(server, client):
    server.hold()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: client.close())
    try:
        sender = InThread(lambda: (server.wait_for(1), os.kill(os.getpid(), signal.SIGUSR1)))
        with pytest.raises(RuntimeError, match='closed'):
            client.encode(['a'])
        sender.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_client_that_is_forgotten_closes_its_sockets(server, connect):
    client = BertClient(ip='127.0.0.1', port=server.port, port_out=server.port_out, timeout=20000)
    list(client.encode_async([['a']] * 3))
    context = client._courier._link._context
    del client
    assert context.closed


def test_the_connections_are_kept_alive(client):
    import zmq

    link = client._courier._link
    for channel in (link._sender, link._receiver):
        assert channel.socket.get(zmq.TCP_KEEPALIVE) == 1
    assert 0 < link._receiver.socket.get(zmq.HEARTBEAT_IVL) < link._receiver.socket.get(zmq.HEARTBEAT_TIMEOUT)
