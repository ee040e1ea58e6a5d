# -*- coding: utf-8 -*-
"""Connections that are dead while both ends believe in them: a box between swallows the bytes, or is slow."""

import numpy as np
import pytest
import zmq

import bert_serving.client
from bert_serving.client import BertClient, ConcurrentBertClient
from support.middlebox import Middlebox
from support.scripted_server import vectors


@pytest.fixture
def soon(monkeypatch):
    """Heartbeats that notice within half a second instead of half a minute."""
    monkeypatch.setattr(bert_serving.client, '_HEARTBEAT_S', 0.1)
    monkeypatch.setattr(bert_serving.client, '_HEARTBEAT_TIMEOUT_S', 0.3)
    monkeypatch.setattr(bert_serving.client, '_HANDSHAKE_TIMEOUT_S', 0.3)
    monkeypatch.setattr(bert_serving.client, '_TICK_S', 0.05)


class Boxes(object):
    """A box on the way to each port of a server."""

    def __init__(self, server):
        self.requests, self.results = Middlebox(server.port), Middlebox(server.port_out)
        self.port, self.port_out = self.requests.port, self.results.port

    @property
    def both(self):
        return [self.requests, self.results]

    def named(self, name):
        return self.both if name == 'both' else [getattr(self, name)]


@pytest.fixture
def boxes(server):
    made = Boxes(server)
    yield made
    for box in made.both:
        box.close()


@pytest.mark.parametrize('kind', [BertClient, ConcurrentBertClient])
@pytest.mark.parametrize('dead', ['requests', 'results', 'both'])
def test_a_request_on_a_dead_connection_is_answered_over_a_new_one(soon, boxes, connect, dead, kind):
    client = connect(boxes, kind)
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    for box in boxes.named(dead):
        box.swallow()
    np.testing.assert_array_equal(client.encode(['b']), vectors(['b']))
    for box in boxes.named(dead):
        assert box.num_accepted == 2


def test_a_reply_that_a_dead_connection_swallowed_is_asked_for_again(soon, server, boxes, connect):
    client = connect(boxes)
    server.hold()
    client.encode(['a'], blocking=False)
    (request,) = server.wait_for(1)
    boxes.results.swallow()
    server.publish(server.result(request, vectors(['a'])))
    server.script = server.answer
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a']))
    assert server.requests[1].frames == request.frames


def test_connections_that_are_dead_from_the_first_byte_are_given_up(soon, boxes, connect):
    for box in boxes.both:
        box.swallows_new = True
    client = connect(boxes, ignore_all_checks=True)
    client.encode(['a'], blocking=False)
    for box in boxes.both:
        box.wait_until(lambda box=box: box.num_accepted > 1)
        box.swallows_new = False
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a']))


def test_an_idle_client_notices_a_dead_connection_by_itself(soon, boxes, connect):
    client = connect(boxes)
    for box in boxes.both:
        box.swallow()
        box.wait_until(lambda box=box: box.num_accepted == 2)
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


def test_a_healthy_connection_stays_while_an_answer_takes_long(soon, server, boxes, connect):
    client = connect(boxes)
    server.hold()
    client.encode(['a'], blocking=False)
    (request,) = server.wait_for(1)
    client.timeout = 1500  # several times as long as a heartbeat may stay unanswered
    with pytest.raises(bert_serving.client.TimeoutError):
        client.fetch_all()
    assert [box.num_accepted for box in boxes.both] == [1, 1]
    server.publish(server.result(request, vectors(['a'])))
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a']))


def test_a_reply_that_takes_longer_than_a_heartbeat_arrives_at_last(soon, server, boxes, connect):
    server.script = lambda request: [server.result(request, np.full((1, 200000), 7, dtype=np.float32))]
    client = connect(boxes)
    boxes.results.bytes_per_s = 1000000
    assert client.encode(['a']).shape == (1, 200000)
    assert client._courier._link.heartbeat_timeout_s > 0.3
    num_accepted = boxes.results.num_accepted
    client.encode(['a'])
    assert boxes.results.num_accepted == num_accepted  # the second time it is known


def test_a_request_that_takes_longer_than_a_heartbeat_arrives_at_last(soon, boxes, connect):
    client = connect(boxes, check_length=False)
    boxes.requests.bytes_per_s = 1000000
    text = 'a' * 1000000
    np.testing.assert_array_equal(client.encode([text]), vectors([text]))


def test_the_limits_are_within_half_a_minute(client):
    module = bert_serving.client
    assert module._HEARTBEAT_S + module._HEARTBEAT_TIMEOUT_S <= 25
    assert module._HANDSHAKE_TIMEOUT_S <= 25
    link = client._courier._link
    for channel in (link._sender, link._receiver):
        assert channel.socket.get(zmq.HEARTBEAT_IVL) == 1000 * module._HEARTBEAT_S
        assert channel.socket.get(zmq.HEARTBEAT_TIMEOUT) == 1000 * module._HEARTBEAT_TIMEOUT_S
        assert 0 < channel.socket.get(zmq.HEARTBEAT_TTL) <= 30000  # by then the server has dropped it, too
        idle, interval, count = [
            channel.socket.get(option)
            for option in (zmq.TCP_KEEPALIVE_IDLE, zmq.TCP_KEEPALIVE_INTVL, zmq.TCP_KEEPALIVE_CNT)
        ]
        assert channel.socket.get(zmq.TCP_KEEPALIVE) == 1
        assert idle + interval * count <= 25


def test_a_pyzmq_without_the_options_will_do(server, connect, monkeypatch):
    for name in ('HEARTBEAT_IVL', 'HEARTBEAT_TIMEOUT', 'HEARTBEAT_TTL', 'HANDSHAKE_IVL', 'CONNECT_TIMEOUT', 'IPV6'):
        monkeypatch.delattr(zmq, name)
    np.testing.assert_array_equal(connect(server).encode(['a']), vectors(['a']))


def test_a_clone_whose_subscription_is_late_gets_its_reply(server, boxes, connect):
    connect(server, identity='clone')
    boxes.results.bytes_per_s = 500
    np.testing.assert_array_equal(connect(boxes, identity='clone').encode(['a']), vectors(['a']))


def test_a_first_request_after_an_unseen_reconnection_gets_its_reply(soon, boxes, connect):
    client = connect(boxes, ignore_all_checks=True)
    boxes.results.wait_until(lambda: boxes.results.num_bytes > 200)  # the handshake is over
    boxes.results.bytes_per_s = 500  # so that the next subscription is late
    boxes.results.swallow()
    boxes.results.wait_until(lambda: boxes.results.num_accepted == 2)
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
