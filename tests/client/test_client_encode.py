# -*- coding: utf-8 -*-
"""What goes in and comes out of ``encode``: inputs, checks, warnings, results, and the client's own status."""

from __future__ import unicode_literals  # ruff format drops the u of a literal

import inspect
import json
import sys
import warnings

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import BertClient, ProtocolError, Response
from support.scripted_server import tokens_of, vectors

TEXTS = ['hello world', 'na\u00efve \u4f60\u597d', 'a ||| b']


class Series(object):
    """As much of a pandas Series as is needed: not a list, but numpy can read it."""

    def __init__(self, values):
        self._values = values

    def __array__(self, *args, **kwargs):
        return np.array(self._values, dtype=object)


@pytest.mark.parametrize('kind', [list, tuple, np.array, Series, lambda texts: np.array(texts, dtype=object)])
def test_texts_may_be_of_any_sequence(client, kind):
    np.testing.assert_array_equal(client.encode(kind(TEXTS)), vectors(TEXTS))


@pytest.mark.parametrize('kind', [list, tuple, np.array])
def test_tokens_may_be_of_any_sequence(client, kind):
    rows = [['hello', 'world'], ['\u4f60', '|||']]
    embedding, tokens = client.encode([kind(row) for row in rows], is_tokenized=True, show_tokens=True)
    np.testing.assert_array_equal(embedding, vectors(rows))
    assert tokens == tokens_of(rows)


def test_a_pandas_series(client):
    pandas = pytest.importorskip('pandas')
    series = pandas.Series(TEXTS, index=[5, 3, 1])
    np.testing.assert_array_equal(client.encode(series), vectors(TEXTS))


@pytest.mark.parametrize(
    'texts',
    [
        'one text',
        b'bytes',
        None,
        5,
        {'a': 1},
        {'a'},
        (text for text in TEXTS),
        ['a', 5],
        ['a', None],
        ['a', ['b']],
        np.array('a'),
        np.array([['a']]),
    ],
)
def test_what_is_not_a_list_of_strings_is_a_type_error(server, client, texts):
    with pytest.raises(TypeError):
        client.encode(texts)
    assert not server.requests


@pytest.mark.parametrize('texts', [[], (), np.array([], dtype=str), ['a', ''], ['a', ' \t'], ['\u3000']])
def test_what_is_empty_or_blank_is_a_value_error(server, client, texts):
    with pytest.raises(ValueError, match='empty|blank'):
        client.encode(texts)
    assert not server.requests


@pytest.mark.parametrize(
    ('texts', 'error'),
    [([['a'], 'b'], TypeError), ([['a'], [1]], TypeError), ([['a'], []], ValueError), ([['a', ' ']], ValueError)],
)
def test_tokens_are_checked_too(client, texts, error):
    with pytest.raises(error):
        client.encode(texts, is_tokenized=True)


def test_the_error_names_the_element(client):
    with pytest.raises(TypeError, match='element 1 .* int'):
        client.encode(['a', 5])
    with pytest.raises(ValueError, match='token 2 of element 1'):
        client.encode([['a'], ['b', 'c', ' ']], is_tokenized=True)


def test_half_a_surrogate_pair_goes_through(server, client):
    client.encode(['a\ud800b'])
    assert server.requests[0].texts == ['a\ud800b']


@pytest.mark.skipif(sys.version_info[0] > 2, reason='bytes are strings on Python 2 only')
def test_bytes_are_utf_8_on_python_2(client):
    np.testing.assert_array_equal(client.encode(['caf\u00e9'.encode('utf-8')]), vectors(['caf\u00e9']))
    with pytest.raises(ValueError, match='element 0'):
        client.encode([b'\xff'])


def test_the_frames_are_those_of_1_10(server, client):
    client.encode(TEXTS)
    identity, payload, request_id, rows = server.requests[0].frames
    assert (identity, json.loads(payload.decode('utf-8')), rows) == (client.identity, TEXTS, b'3')
    assert request_id.isdigit()


def test_output_as_lists(server, connect):
    client = connect(server, output_fmt='list')
    assert client.encode(['a', 'b']) == vectors(['a', 'b']).tolist()
    client.encode(['c'], blocking=False)
    client.encode(['d', 'e'], blocking=False)
    assert client.fetch_all(concat=True) == vectors(['c', 'd', 'e']).tolist()


def test_half_precision_stays_what_it_is(server, client):
    server.script = lambda request: [server.result(request, vectors(request.texts).astype(np.float16))]
    assert client.encode(['a']).dtype == np.float16


def test_tokens_that_the_server_does_not_show(make_server, connect):
    client = connect(make_server(show_tokens_to_client=False))
    with pytest.warns(UserWarning, match='-show_tokens_to_client'):
        embedding = client.encode(['a'], show_tokens=True)
    np.testing.assert_array_equal(embedding, vectors(['a']))


def test_warnings_about_length(make_server, connect):
    limited = connect(make_server(max_seq_len=4))
    with pytest.warns(UserWarning, match='max_seq_len=4'):
        limited.encode(['a', 'a b c d e'])
    with pytest.warns(UserWarning, match='max_seq_len=4'):
        limited.encode([['a'] * 5], is_tokenized=True)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        limited.encode(['a  b\tc d', 'longwords ' * 4])
        connect(make_server(max_seq_len=4), check_length=False).encode(['a b c d e'])
        connect(make_server(max_seq_len=None)).encode(['a b c d e'])  # pads to the longest text of each batch


def test_a_warning_points_at_the_caller(make_server, connect):
    client = connect(make_server(max_seq_len=4, show_tokens_to_client=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        client.encode(['a b c d e'], show_tokens=True)
        list(client.encode_async([['a b c d e']]))
    assert len(caught) == 3
    assert {warning.filename.replace('.pyc', '.py') for warning in caught} == {__file__.replace('.pyc', '.py')}


def test_a_server_of_another_protocol(make_server, connect):
    server = make_server(server_version='1.9.0')
    with pytest.raises(AttributeError, match='pip install -U'):
        connect(server)
    connect(server, check_version=False).encode(['a'])
    connect(server, ignore_all_checks=True).encode(['a'])


def test_a_wrong_output_fmt(server, connect):
    with pytest.raises(AttributeError, match='output_fmt'):
        connect(server, output_fmt='tensor')


def test_no_check_no_question(server, connect):
    connect(server, check_version=False, check_length=False, check_token_info=False)
    connect(server, ignore_all_checks=True, show_server_config=True)
    assert not server.questions
    connect(server, check_version=False, check_length=False)
    assert len(server.questions) == 1


def test_show_server_config(server, connect, capsys):
    connect(server, show_server_config=True)
    assert 'max_batch_size\t=\t4' in capsys.readouterr().out


@pytest.mark.parametrize(
    'spoil',
    [
        lambda frames: [frames[0], b'not json', frames[2], frames[3]],
        lambda frames: [frames[0], b'[]', frames[2], frames[3]],
        lambda frames: [frames[0], frames[1], frames[2][:-1], frames[3]],
        lambda frames: [frames[0], frames[1].replace(b'float32', b'object'), frames[2], frames[3]],
        lambda frames: [frames[0], frames[1].replace(b'[2, 5]', b'[5, 2]'), frames[2], frames[3]],
        lambda frames: [frames[0], frames[1], frames[3]],
    ],
)
def test_an_answer_that_cannot_be_used(server, client, spoil):
    server.script = lambda request: [spoil(frames) for frames in server.answer(request)]
    with pytest.raises(ProtocolError):
        client.encode(['a', 'b'])
    server.script = server.answer
    client.encode(['a', 'b'])


def test_messages_that_answer_nothing(server, client):
    server.script = lambda request: (
        [[request.identity], [request.identity, b'x', b'y', b'no number'], [request.identity, b'x', b'y', b'1']]
        + server.answer(request)
    )
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


def test_config_and_status(server, client):
    assert client.server_config == server.config
    client.encode(['a'])
    assert client.server_status['statistic'] == {'num_data_request': 1}


def test_status(server, connect):
    client = connect(server, identity='me', timeout=5000)
    server.hold()
    client.encode(['a'], blocking=False)
    client.encode(['b'], blocking=False)
    status = client.status
    ids = {request.id for request in server.wait_for(2)}
    assert all(0 < request_id < 10**20 for request_id in ids)
    assert status == {
        'identity': b'me',
        'num_request': 3,
        'num_pending_request': 2,
        'pending_request': ids,
        'output_fmt': 'ndarray',
        'port': server.port,
        'port_out': server.port_out,
        'server_ip': '127.0.0.1',
        'client_version': '1.10.0',
        'client_release': '2.0.0',
        'timeout': 5000,
    }


def test_ids_increase_and_nobody_can_guess_the_next(server, client):
    server.hold()
    for _ in range(50):
        client.encode(['a'], blocking=False)
    ids = [request.id for request in server.wait_for(50)]
    assert ids == sorted(ids)
    steps = [after - before for before, after in zip(ids, ids[1:])]
    assert len(set(steps)) == len(steps)
    assert max(steps) > 1 << 32


def test_ids_that_would_become_too_long_begin_anew_while_none_is_pending(client):
    courier = client._courier
    courier._last_id = 10**20
    client.encode(['a'])
    assert courier._last_id < 10**19


def test_an_identity_of_its_own(server, connect):
    identities = {connect(server).identity for _ in range(3)}
    assert len(identities) == 3
    assert {type(identity) for identity in identities} == {bytes}


def test_a_response_answers_as_its_embedding_and_as_a_tuple():
    embedding = vectors(['a', 'b'])
    response = Response(7, embedding, '')
    request_id, array, tokens = response
    assert (request_id, tokens) == (7, '')
    assert array is embedding is response.content
    assert response.shape == (2, 5)
    assert Response(7, embedding.tolist(), '').shape == (2, 5)


@pytest.mark.skipif(sys.version_info[0] < 3, reason='inspect of Python 3')
def test_arguments_stand_in_the_order_of_1_10():
    def arguments(function):
        return list(inspect.signature(function).parameters)[1:]

    assert arguments(BertClient.__init__) == [
        'ip',
        'port',
        'port_out',
        'output_fmt',
        'show_server_config',
        'identity',
        'check_version',
        'check_length',
        'check_token_info',
        'ignore_all_checks',
        'timeout',
        'server_key',  # these two are ours
        'key_file',
    ]
    assert arguments(BertClient.encode)[:4] == ['texts', 'blocking', 'is_tokenized', 'show_tokens']
    assert arguments(BertClient.encode_async)[:3] == ['batch_generator', 'max_num_batch', 'delay']
    assert arguments(BertClient.fetch) == ['delay']
    assert arguments(BertClient.fetch_all) == ['sort', 'concat']


def test_everything_public_is_there():
    for name in bert_serving.client.__all__:
        assert getattr(bert_serving.client, name).__class__
