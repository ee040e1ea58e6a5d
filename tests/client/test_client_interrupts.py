# -*- coding: utf-8 -*-
"""What goes wrong in the middle of something: Ctrl-C, a wrong address, a peer that hangs up, a server that ends."""

from __future__ import unicode_literals  # ruff format drops the u of a literal

import logging
import socket
import threading
import time

import numpy as np
import pytest
import zmq

import bert_serving.client
from bert_serving.client import BertClient, ServerError
from support.scripted_server import token_vectors, vectors


class HangsUp(object):
    """Accepts every connection and closes it at once, as a proxy without a server behind it does."""

    def __init__(self):
        self.accepted = 0
        self._listener = socket.socket()
        self._listener.bind(('127.0.0.1', 0))
        self._listener.listen(100)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.daemon = True
        self._thread.start()

    def _run(self):
        try:
            while True:
                self._listener.accept()[0].close()
                self.accepted += 1
        except (OSError, socket.error):  # two things on 2.7
            pass

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def proxy():
    proxy = HangsUp()
    yield proxy
    proxy.close()


def test_an_address_that_is_none_is_told_at_once():
    with pytest.raises(ValueError, match='"ip" must be ASCII without spaces, but is '):
        BertClient(ip='no host', timeout=500)
    with pytest.raises(ValueError, match='"ip" must be a host name or an address, but is '):
        BertClient(ip='no$host', timeout=500)


def test_an_idle_client_of_a_peer_that_hangs_up_can_be_closed(proxy, monkeypatch):
    options = bert_serving.client._connection_options
    quick = [('RECONNECT_IVL', 1), ('RECONNECT_IVL_MAX', 0)]
    monkeypatch.setattr(bert_serving.client, '_connection_options', lambda timeout_s: options(timeout_s) + quick)
    client = BertClient(ip='127.0.0.1', port=proxy.port, port_out=proxy.port, ignore_all_checks=True)
    end = time.time() + 60
    while proxy.accepted < 5000 and time.time() < end:  # a monitor holds 2,000 events of each socket by default
        time.sleep(0.05)
    assert proxy.accepted >= 5000
    closing = threading.Thread(target=client.close)
    closing.daemon = True
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_a_wait_for_a_peer_that_hangs_up_is_on_the_log(proxy, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(bert_serving.client, '_QUIET_AWAY_S', 0.3)
    with pytest.raises(bert_serving.client.TimeoutError):
        BertClient(ip='127.0.0.1', port=proxy.port, port_out=proxy.port, timeout=2000)
    assert 'no connection to tcp://127.0.0.1:%d' % proxy.port in caplog.text


@pytest.mark.parametrize('number', range(1, 7))  # two channels of two sockets each, and a doorbell of two
def test_ctrl_c_while_a_client_is_made_ends_it(number, monkeypatch):
    make_socket = zmq.Context.socket
    made = []

    def interrupted(self, *args, **kwargs):
        made.append(make_socket(self, *args, **kwargs))
        if len(made) == number:
            raise KeyboardInterrupt
        return made[-1]

    monkeypatch.setattr(zmq.Context, 'socket', interrupted)
    seen = []

    def make():
        try:
            BertClient(ip='127.0.0.1', port=1, port_out=2, ignore_all_checks=True)
        except KeyboardInterrupt as error:
            seen.append(error)

    making = threading.Thread(target=make)
    making.daemon = True
    making.start()
    making.join(10)
    assert seen
    assert not making.is_alive()
    assert all(each.closed for each in made)


def test_ctrl_c_between_two_frames_does_not_spoil_the_next_request(server, client, monkeypatch):
    sender = client._courier._link._sender.socket
    send = zmq.Socket.send
    sent = []

    def interrupted(self, data, *args, **kwargs):
        if self is sender:
            sent.append(data)
            if len(sent) == 3:
                raise KeyboardInterrupt
        return send(self, data, *args, **kwargs)

    monkeypatch.setattr(zmq.Socket, 'send', interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.encode(['interrupted'])
    np.testing.assert_array_equal(client.encode(['next']), vectors(['next']))
    assert [request.texts for request in server.requests] == [['next']]


def test_ctrl_c_while_an_answer_is_read_does_not_lose_it(server, client, monkeypatch):
    read = bert_serving.client._read_reply

    def interrupted(*args):
        monkeypatch.setattr(bert_serving.client, '_read_reply', read)
        raise KeyboardInterrupt

    server.hold()  # or the answer might be read before the interrupt is there
    client.encode(['a', 'b'], blocking=False)
    (request,) = server.wait_for(1)
    server.script = server.answer
    monkeypatch.setattr(bert_serving.client, '_read_reply', interrupted)
    server.publish(server.result(request, vectors(request.texts)))
    with pytest.raises(KeyboardInterrupt):
        client.fetch_all()
    assert client.status['num_pending_request'] == 1
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a', 'b']))


def test_a_request_that_a_server_refuses_because_it_ends_is_kept_for_the_next(server, client):
    answer = server.script
    server.script = lambda request: [server.error(request, 'ShuttingDown', 'retry later')]
    client.encode(['a'], blocking=False)
    server.wait_for(1)
    server.wait_until(lambda: server.num_published >= 2)  # the config and the refusal
    server.stop()
    server.script = answer
    server.start()
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a']))


def test_all_in_one_of_token_level_answers_of_different_lengths(make_server, connect):
    server = make_server(pooling_strategy=0, max_seq_len=None)
    client = connect(server, check_length=False)
    texts = ['a', 'a b c d']
    for text in texts:
        client.encode([text], blocking=False)
    whole = client.fetch_all(concat=True)
    assert whole.shape == (2, 6, 5)
    for row, text in zip(whole, texts):
        alone = token_vectors([text], 4)[0]
        np.testing.assert_array_equal(row[: len(alone)], alone)
        assert not row[len(alone) :].any()


def test_a_listener_hears_from_when_it_is_made(server, connect):
    asking, listening = connect(server, identity='twins'), connect(server, identity='twins')
    heard = listening.listen()
    asking.encode(['x'])
    listening.encode(['mine'])
    np.testing.assert_array_equal(next(heard).embedding, vectors(['x']))
    heard.close()
    assert list(heard) == []


def test_an_error_in_any_script_can_be_printed(server, client):
    server.script = lambda request: [server.error(request, 'BadRequest', 'nicht \xe4')]
    with pytest.raises(ServerError) as caught:
        client.encode(['a'])
    assert str(caught.value).endswith(str('nicht \xe4'.encode('utf-8') if str is bytes else 'nicht \xe4'))
    assert caught.value.message == 'nicht \xe4'
