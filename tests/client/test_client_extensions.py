# -*- coding: utf-8 -*-
"""What our protocol adds to 1.10's: used where the server advertises it, never elsewhere."""

import threading

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import CancelledError, ServerError, UnsupportedError
from support.scripted_server import tokens_of, vectors

EXTENSIONS = ['options', 'token_ids', 'cancel']


@pytest.fixture
def server(make_server):
    return extended(make_server(extensions=EXTENSIONS))


def extended(server):
    """Let the server answer the options as BertServer does."""

    def answer(request):
        tokens = tokens_of([[str(part) for part in text] if isinstance(text, list) else text for text in request.texts])
        counts = [len(row) for row in tokens]
        array = vectors(request.texts)
        options = request.options or {}
        if options.get('tokenize'):
            array = np.zeros((len(tokens), max(counts)), dtype=np.int32)
            for row, count in enumerate(counts):
                array[row, :count] = np.arange(1, count + 1)
        wanted = {'token_counts': counts} if options else {}
        return [server.result(request, array, tokens=tokens, **wanted)]

    server.script = answer
    return server


def test_an_embedding_comes_with_the_number_of_tokens(server, client):
    encoded = client.encode_with_details(['a b', 'c'])
    np.testing.assert_array_equal(encoded.array, vectors(['a b', 'c']))
    assert encoded.token_counts == [4, 3]
    assert encoded.tokens == tokens_of(['a b', 'c'])
    assert server.requests[0].options['token_counts'] is True


def test_the_rows_that_were_cut_are_told_also_of_an_input_that_is_sent_in_several_requests(make_server, connect):
    server = make_server(extensions=EXTENSIONS, max_request_rows=2)
    server.script = lambda request: [
        server.result(
            request,
            vectors(request.texts),
            token_counts=[3] * request.rows,
            truncated_rows=[row for row, text in enumerate(request.texts) if text == 'long'],
        )
    ]
    client = connect(server)
    client.server_config  # so that it knows the limit
    assert client.encode_with_details(['long', 'a', 'b', 'long', 'long']).truncated_rows == [0, 3, 4]
    assert client.encode_with_details(['a']).truncated_rows == []


def test_scores_come_with_the_number_of_tokens(make_server, connect):
    server = make_server(extensions=EXTENSIONS + ['pairs', 'raw', 'truncate'])
    server.script = lambda request: [
        server.result(request, np.array([[0.5]] * request.rows, np.float32), token_counts=[4] * request.rows)
    ]
    pairs = [['a ||| b', ''], ('c', 'd')]
    scored = connect(server).predict_with_details(pairs, raw=True, truncate='left')
    assert (scored.array.tolist(), scored.token_counts) == ([[0.5], [0.5]], [4, 4])
    assert server.requests[0].texts == [['a ||| b', ''], ['c', 'd']]
    sent = server.requests[0].options
    assert (sent['pairs'], sent['raw'], sent['truncate'], sent['token_counts']) == (True, True, 'left', True)
    server.hold()
    with pytest.raises(CancelledError):
        connect(server).predict_with_details(['a'], cancelled=lambda: True)


def test_the_time_that_is_left_goes_to_the_server(server, connect):
    connect(server, timeout=7000).encode_with_details(['a'])
    assert 5000 < server.requests[0].options['deadline_ms'] <= 7000
    connect(server, timeout=-1).encode_with_details(['a'])
    assert 'deadline_ms' not in server.requests[1].options


def test_ids_are_sent_as_they_are(server, client):
    ids = [[7592, 2088], np.array([7592])]
    assert client.encode_with_details(ids, token_ids=True).token_counts == [4, 3]
    assert server.requests[0].texts == [[7592, 2088], [7592]]


@pytest.mark.parametrize(
    ('rows', 'error'),
    [
        ([], ValueError),
        ([[]], ValueError),
        ([[1.5]], TypeError),
        ([[True]], TypeError),
        ([['1']], TypeError),
        ('1', TypeError),
        ([1], TypeError),
    ],
)
def test_what_are_no_ids_is_refused_here(server, client, rows, error):
    with pytest.raises(error):
        client.encode_with_details(rows, token_ids=True)
    assert not server.requests


def test_texts_are_tokenized_only(server, client):
    encoded = client.tokenize(['a b', 'c'])
    assert encoded.tokens == [['[CLS]', 'a', 'b', '[SEP]'], ['[CLS]', 'c', '[SEP]']]
    assert encoded.array.tolist() == [[1, 2, 3, 4], [1, 2, 3, 0]]
    assert encoded.token_counts == [4, 3]


def test_what_is_large_is_divided_and_put_together(server, client, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 4)
    texts = ['a ' * (1 + row % 5) for row in range(11)]
    encoded = client.encode_with_details(texts)
    np.testing.assert_array_equal(encoded.array, vectors(texts))
    assert encoded.token_counts == [len(row) for row in tokens_of(texts)]
    assert client.tokenize(texts).array.shape == (11, 7)
    assert len(server.requests) > 2


def test_no_request_has_more_rows_than_the_server_takes(make_server, connect):
    server = extended(make_server(extensions=EXTENSIONS, max_request_rows=3))
    client = connect(server)
    texts = ['text %d' % row for row in range(8)]
    np.testing.assert_array_equal(client.encode(texts), vectors(texts))
    np.testing.assert_array_equal(client.encode_with_details(texts).array, vectors(texts))
    assert max(request.rows for request in server.requests) == 3


@pytest.mark.parametrize(
    'call',
    [
        lambda client: client.encode_with_details(['a']),
        lambda client: client.tokenize(['a']),
        lambda client: client.encode_with_details([[1]], token_ids=True),
    ],
)
def test_a_server_of_1_10_never_sees_an_option(make_server, connect, call):
    server = make_server()
    client = connect(server)
    with pytest.raises(UnsupportedError, match='options'):
        call(client)
    assert not server.requests
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    assert len(server.requests[0].frames) == 4


def test_after_a_restart_the_server_is_asked_again_what_it_can(server, client):
    server.hold()
    errors = []

    def ask():
        try:
            client.encode_with_details(['a'])
        except UnsupportedError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for(1)
    server.stop()
    server.config['extensions'] = []  # as if the release before were put back
    server.start()
    thread.join(20)
    assert len(errors) == 1
    assert len(server.requests) == 1


def test_after_a_restart_a_pending_request_is_sent_again_with_its_options(server, client):
    server.hold()
    results = []
    thread = threading.Thread(target=lambda: results.append(client.encode_with_details(['a'])))
    thread.start()
    server.wait_for(1)
    server.stop()
    extended(server).start()
    thread.join(20)
    assert [result.token_counts for result in results] == [[3]]
    first, second = server.requests
    assert (first.id, first.frames[4]) == (second.id, second.frames[4])


def test_a_request_that_is_given_up_is_cancelled(server, connect):
    client = connect(server, timeout=20000)
    server.hold()
    client.timeout = 300
    for call in (client.encode, client.encode_with_details, client.tokenize):
        with pytest.raises(bert_serving.client.TimeoutError):
            call(['a'])
    server.wait_until(lambda: len(server.cancelled) == 3)
    assert server.cancelled == [request.id for request in server.requests]


def test_nothing_is_cancelled_at_a_server_that_does_not_know_it(make_server, connect):
    server = make_server()
    client = connect(server)
    server.hold()
    client.timeout = 300
    with pytest.raises(bert_serving.client.TimeoutError):
        client.encode(['a'])
    server.script = server.answer
    client.timeout = 20000
    client.encode(['b'])
    assert server.cancelled == []


def test_a_call_can_be_cancelled_from_outside(server, client):
    server.hold()
    wanted = threading.Event()
    threading.Thread(target=lambda: (server.wait_for(1), wanted.set())).start()
    with pytest.raises(CancelledError):
        client.encode_with_details(['a'], cancelled=wanted.is_set)
    server.wait_until(lambda: server.cancelled)
    assert server.cancelled == [server.requests[0].id]


def test_a_server_that_shuts_down_is_not_waited_for(server, client):
    server.script = lambda request: [server.error(request, 'ShuttingDown', 'the server is shutting down')]
    with pytest.raises(ServerError) as caught:
        client.encode_with_details(['a'])
    assert caught.value.type == 'ShuttingDown'


def test_whether_there_is_a_connection(server, client):
    assert client.is_connected
    server.stop()
    client.timeout = 500
    with pytest.raises(bert_serving.client.TimeoutError):
        client.encode(['a'])
    assert not client.is_connected


def test_the_pool_can_do_so_too(server, pool):
    assert pool.encode_with_details(['a']).token_counts == [3]
    assert pool.tokenize(['a']).tokens == tokens_of(['a'])
    assert pool.is_connected
