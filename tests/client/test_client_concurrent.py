# -*- coding: utf-8 -*-
"""ConcurrentBertClient: one object for all threads."""

import threading

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import BertClient, ConcurrentBertClient
from support.scripted_server import tokens_of, vectors


def test_it_is_a_bert_client(server, pool):
    assert isinstance(pool, BertClient)
    np.testing.assert_array_equal(pool.encode(['a']), vectors(['a']))
    assert pool.encode(['a'], show_tokens=True)[1] == tokens_of(['a'])
    assert pool.server_config == server.config
    assert pool.server_status['statistic'] == {'num_data_request': 2}
    assert pool.status['num_request'] == 5


def test_each_of_many_threads_gets_its_own_answer(pool):
    wrong = []

    def ask(name):
        for number in range(10):
            texts = ['%s %d %d' % (name, number, row) for row in range(number + 1)]
            if not np.array_equal(pool.encode(texts), vectors(texts)):
                wrong.append(texts)

    threads = [threading.Thread(target=ask, args=('thread %d' % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.status['num_pending_request'] == 0


def test_connections_are_made_as_they_are_needed(server, connect):
    pool = connect(server, kind=ConcurrentBertClient, max_concurrency=100)
    for _ in range(3):
        pool.encode(['a'])
    assert len(server.questions) == 1


def test_waiting_for_a_connection_has_a_timeout(server, connect):
    pool = connect(server, kind=ConcurrentBertClient, max_concurrency=1, timeout=1000)
    server.hold()
    errors = []

    def ask():
        try:
            pool.encode(['a'])
        except bert_serving.client.TimeoutError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 3
    assert any('max_concurrency' in error for error in errors)


def test_a_connection_that_fails_can_be_used_again(server, connect):
    pool = connect(server, kind=ConcurrentBertClient, max_concurrency=1)
    for _ in range(2):
        with pytest.raises(ValueError, match='empty'):
            pool.encode([])
    np.testing.assert_array_equal(pool.encode(['a']), vectors(['a']))


def test_a_connection_that_cannot_be_made_leaves_room_for_another(server, connect):
    pool = connect(server, kind=ConcurrentBertClient, max_concurrency=1)
    pool._idle.pop()  # as if it were in use, and there were room for one more
    pool.max_concurrency = 2
    server.config['server_version'] = '1.9.0'
    with pytest.raises(AttributeError):
        pool.encode(['a'])
    server.config['server_version'] = '1.10.0'
    np.testing.assert_array_equal(pool.encode(['a']), vectors(['a']))


def test_close_ends_all(server, pool):
    server.hold()
    errors = []

    def ask():
        try:
            pool.encode(['a'])
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]  # two of them wait for a connection
    for thread in threads:
        thread.start()
    server.wait_for(2)
    pool.close()
    for thread in threads:
        thread.join(20)
    assert errors == ['this client is closed'] * 4
    pool.close()
    with pytest.raises(RuntimeError, match='closed'):
        pool.encode(['a'])


@pytest.mark.parametrize(
    'call',
    [
        lambda pool: pool.fetch(),
        lambda pool: pool.fetch_all(),
        lambda pool: pool.encode_async([['a']]),
        lambda pool: pool.encode(['a'], blocking=False),
        lambda pool: pool.listen(),
    ],
)
def test_what_collects_later_is_not_implemented(pool, call):
    with pytest.raises(NotImplementedError):
        call(pool)


def test_a_context_manager(server):
    with ConcurrentBertClient(ip='127.0.0.1', port=server.port, port_out=server.port_out, timeout=20000) as pool:
        pool.encode(['a'])
    with pytest.raises(RuntimeError):
        pool.encode(['a'])


def test_no_connection_at_all_is_refused():
    with pytest.raises(ValueError, match='max_concurrency'):
        ConcurrentBertClient(0)


def test_a_pool_has_the_attributes_of_a_client(server, pool):
    assert (pool.port, pool.port_out, pool.output_fmt) == (server.port, server.port_out, 'ndarray')
    assert pool.length_limit == 25
    assert pool.token_info_available
    with pytest.raises(AttributeError, match='no_such_thing'):
        pool.no_such_thing


def test_a_timeout_that_is_set_later_holds(server, pool):
    server.hold()
    pool.timeout = 200
    with pytest.raises(bert_serving.client.TimeoutError):
        pool.encode(['a'])
