# -*- coding: utf-8 -*-
"""Large inputs: divided on the way, whole for the caller."""

import collections
import subprocess
import sys
import threading
import types
import warnings

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import ProtocolError, ServerError
from support.scripted_server import token_vectors, tokens_of, vectors

BATCH = 4  # max_batch_size of the scripted server


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 10)


def texts_of(rows, words=1):
    return ['text %d%s' % (row, ' word' * (row * 7 % 5 * (words - 1))) for row in range(rows)]


def test_a_small_input_is_one_request(server, client):
    client.encode(texts_of(10))
    assert [request.rows for request in server.requests] == [10]


@pytest.mark.parametrize('arguments', [{}, {'ignore_all_checks': True}])
def test_a_large_input_is_several_of_whole_batches(server, connect, arguments):
    texts = texts_of(53)
    embedding, tokens = connect(server, **arguments).encode(texts, show_tokens=True)
    np.testing.assert_array_equal(embedding, vectors(texts))
    assert tokens == tokens_of(texts)
    assert [request.rows for request in server.requests] == [8] * 6 + [5]


def test_the_parts_may_come_in_any_order(server, client):
    texts, held = texts_of(30), []

    def backwards(request):
        held.insert(0, server.result(request, vectors(request.texts)))
        return held if len(held) == 4 else []

    server.script = backwards
    np.testing.assert_array_equal(client.encode(texts), vectors(texts))


def test_few_are_in_flight_at_once(server, client):
    most = bert_serving.client._CHUNKS_IN_FLIGHT
    open_at_once = []

    def script(request):
        open_at_once.append(client.status['num_pending_request'])
        return server.answer(request)

    server.script = script
    client.encode(texts_of(8 * 10 * most))
    assert 1 < max(open_at_once) <= most


def test_without_a_window_of_length_the_answer_is_padded_as_one_would_be(make_server, connect):
    client = connect(make_server(pooling_strategy=0, max_seq_len=None), check_length=False)
    texts = ['a'] * 20 + texts_of(41, words=3)
    expected = token_vectors(texts, BATCH)
    assert len({text.count(' ') for text in texts}) > 2
    np.testing.assert_array_equal(client.encode(texts), expected)
    np.testing.assert_array_equal(client.encode(texts[::-1]), token_vectors(texts[::-1], BATCH))


def test_the_answers_are_bounded_too(make_server, connect, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 40)
    monkeypatch.setattr(bert_serving.client, '_CHUNKS_IN_FLIGHT', 1)
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ANSWER_BYTES', 10 * 3 * 5 * 4)  # of 10 rows of 3 tokens
    server = make_server(pooling_strategy=0)
    connect(server).encode(['a'] * 41)
    assert [request.rows for request in server.requests] == [4, 8, 8, 8, 8, 5]


def test_the_requests_are_bounded_in_bytes(server, client, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_BYTES', 100)
    texts = ['a' * 30] * 9
    np.testing.assert_array_equal(client.encode(texts), vectors(texts))
    assert [request.rows for request in server.requests] == [4, 4, 1]


def test_the_limit_of_the_server_is_kept(make_server, connect):
    server = make_server(max_message_bytes=100)
    client = connect(server)
    texts = ['a' * 30] * 9
    np.testing.assert_array_equal(client.encode(texts), vectors(texts))
    assert max(len(request.payload) for request in server.requests) <= 100
    with pytest.raises(ValueError, match='element 1 '):
        client.encode(['a', 'b' * 100])
    with pytest.raises(ValueError, match='at most 100'):
        client.encode(texts, blocking=False)
    with pytest.raises(ValueError, match='at most 100'):
        list(client.encode_async([texts]))
    assert client.status['num_pending_request'] == 0


def test_an_error_for_a_part_is_one_for_all(server, client):
    server.script = lambda request: (
        [server.error(request, 'Overloaded', 'later')] if 'text 17' in request.texts else server.answer(request)
    )
    with pytest.raises(ServerError, match='Overloaded: later'):
        client.encode(texts_of(40))
    assert client.status['num_pending_request'] == 0
    server.script = server.answer
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


def test_a_server_that_changes_in_between(server, client):
    server.script = lambda request: [server.result(request, vectors(request.texts)[:, : len(server.requests) + 1])]
    with pytest.raises(ProtocolError, match='different options'):
        client.encode(texts_of(40))


def test_a_server_that_restarts_in_between(server, client):
    server.script = lambda request: [] if 'text 17' in request.texts else server.answer(request)
    texts = texts_of(100)

    def restart():
        server.wait_until(lambda: any('text 17' in request.texts for request in server.requests))
        server.stop()
        server.script = server.answer
        server.start()

    threading.Thread(target=restart).start()
    np.testing.assert_array_equal(client.encode(texts), vectors(texts))


def test_asking_without_waiting_is_one_request_whatever_its_size(server, client):
    texts = texts_of(53)
    client.encode(texts, blocking=False)
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(texts))
    assert [request.rows for request in server.requests] == [53]


def test_show_progress(client, monkeypatch):
    bars = []

    class Bar(object):
        def __init__(self, total):
            self.total, self.steps, self.closed = total, [], False
            bars.append(self)

        def update(self, number):
            self.steps.append(number)

        def close(self):
            self.closed = True

    module = types.ModuleType('tqdm')
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, 'tqdm', module)
    client.encode(texts_of(9), show_progress=True)  # less than a chunk, but something is to be seen
    assert (bars[0].total, sorted(bars[0].steps), bars[0].closed) == (9, [1, 4, 4], True)
    list(client.encode_async([['a'], ['b']], max_num_batch=2, show_progress=True))
    assert (bars[1].total, bars[1].steps, bars[1].closed) == (2, [1, 1], True)


def test_show_progress_without_tqdm(client, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tqdm', None)
    with pytest.warns(UserWarning, match='progress') as caught:
        np.testing.assert_array_equal(client.encode(['a'], show_progress=True), vectors(['a']))
    assert caught[0].filename.replace('.pyc', '.py') == __file__.replace('.pyc', '.py')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        client.encode(['a'])


MEMORY = """
import resource, sys
import numpy as np
from bert_serving.client import BertClient
client = BertClient(ip='127.0.0.1', port=%d, port_out=%d, timeout=50000)
texts = ['a'] * 200000
client.encode(texts[:20000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
embedding = client.encode(texts)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unit = 1 if sys.platform == 'darwin' else 1024
assert embedding.shape == (200000, 256) and (embedding == 7).all()
print((peak - before) * unit - embedding.nbytes)
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='no getrusage there')
def test_memory_beside_input_and_output_is_bounded(make_server, monkeypatch):
    server = make_server(max_batch_size=256, show_tokens_to_client=False)
    server.requests = collections.deque(maxlen=1)
    server.script = lambda request: [server.result(request, np.full((request.rows, 256), 7, dtype=np.float32))]
    beside = int(subprocess.check_output([sys.executable, '-c', MEMORY % (server.port, server.port_out)]))
    assert beside < 60 << 20  # of 200 MiB of embeddings; eight parts in flight are 32 MiB
