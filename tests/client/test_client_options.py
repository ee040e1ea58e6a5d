# -*- coding: utf-8 -*-
"""The options of a request: what goes to the server, what comes back, and what an older server never sees."""

import threading
import warnings

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import BertClient, ConcurrentBertClient, ServerError, UnsupportedError
from support.scripted_server import vectors

FIRST_EXTENSIONS = ['options', 'token_ids', 'cancel']
EXTENSIONS = FIRST_EXTENSIONS + [
    'prompt',
    'prompt_name',
    'normalize',
    'dimensions',
    'dtype',
    'truncate',
    'pairs',
    'raw',
]
PROMPTS = {'query': 'query: ', 'document': 'text: ', 'passage': 'passage: '}

KEYWORDS = [
    {'prompt_name': 'query'},
    {'prompt': b'frage f\xc3\xbcr: '.decode('utf-8')},
    {'prompt': ''},
    {'normalize': True},
    {'normalize': False},
    {'dimensions': 3},
    {'dtype': 'float32'},
    {'dtype': 'ubinary'},
    {'truncate': 'right'},
    {'truncate': 'left'},
    {'truncate': 'error'},
    {'prompt': 'q: ', 'normalize': True, 'dimensions': 3, 'dtype': 'int8', 'truncate': 'left'},
]


@pytest.fixture
def server(make_server):
    return make_server(extensions=EXTENSIONS, model={'name': 'tiny', 'task': 'embed', 'prompts': PROMPTS})


@pytest.fixture
def ranker(make_server):
    """A server whose score of a pair is the number of letters of its second text, and of a text of its own."""
    return with_scores(make_server(extensions=EXTENSIONS, model={'task': 'rerank'}))


def with_scores(server, labels=1):
    def answer(request):
        texts = [text if request.options['pairs'] is False else text[1] for text in request.texts]
        scores = np.array([[len(text) + label for label in range(labels)] for text in texts], dtype=np.float32)
        return [server.result(request, scores, tokens='')]

    server.script = answer
    return server


def options_of(request):
    """The options without the deadline, which depends on the clock."""
    return None if request.options is None else {k: v for k, v in request.options.items() if k != 'deadline_ms'}


# ---- what is sent


@pytest.mark.parametrize('keywords', KEYWORDS, ids=repr)
def test_a_keyword_of_encode_is_an_option_of_the_request(server, client, keywords):
    np.testing.assert_array_equal(client.encode(['a', 'b'], **keywords), vectors(['a', 'b']))
    assert options_of(server.requests[0]) == keywords
    assert server.requests[0].texts == ['a', 'b']


@pytest.mark.parametrize('keywords', KEYWORDS, ids=repr)
def test_a_keyword_of_encode_with_details_is_an_option_of_the_request(server, client, keywords):
    client.encode_with_details(['a'], **keywords)
    assert options_of(server.requests[0]) == dict(keywords, token_counts=True)


@pytest.mark.parametrize('keywords', KEYWORDS, ids=repr)
def test_a_keyword_of_encode_async_is_an_option_of_each_request(server, client, keywords):
    responses = list(client.encode_async([['a'], ['b']], **keywords))
    assert [response.embedding.tolist() for response in responses] == [vectors([text]).tolist() for text in 'ab']
    assert [options_of(request) for request in server.requests] == [keywords] * 2


def test_a_request_that_is_fetched_later_has_its_options(server, client):
    client.encode(['a'], blocking=False, dtype='int8')
    client.encode(['b'], blocking=False)
    client.encode(['c'], blocking=False, normalize=True)
    assert [response.embedding.tolist() for response in client.fetch()] == [vectors([text]).tolist() for text in 'abc']
    client.encode(['d'], blocking=False, prompt='p')
    assert [array.tolist() for array in client.fetch_all()] == [vectors(['d']).tolist()]
    sent = [options_of(request) for request in server.requests]
    assert sent == [{'dtype': 'int8'}, None, {'normalize': True}, {'prompt': 'p'}]


def test_every_part_of_a_large_input_has_the_options(server, client, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 4)
    texts = ['text %d' % row for row in range(11)]
    np.testing.assert_array_equal(client.encode(texts, prompt='p'), vectors(texts))
    assert len(server.requests) > 2
    assert all(options_of(request) == {'prompt': 'p'} for request in server.requests)


def test_a_request_without_options_has_four_frames(server, client):
    client.encode(['a'])
    client.encode(['a'], prompt_name=None, prompt=None, normalize=None, dimensions=None, dtype=None, truncate=None)
    client.encode(['a'], blocking=False)
    list(client.fetch())
    list(client.encode_async([['a']]))
    assert [len(request.frames) for request in server.requests] == [4] * 4


def test_a_text_with_bars_can_be_a_single_text(server, client):
    client.encode_with_details(['a ||| b'], joined_pairs=False)
    assert options_of(server.requests[0]) == {'token_counts': True, 'pairs': False}


@pytest.mark.parametrize('dtype', [np.float16, 'float16', np.dtype('float16')], ids=repr)
def test_a_type_can_be_a_name_or_numpys(server, client, dtype):
    client.encode(['a'], dtype=dtype)
    assert options_of(server.requests[0]) == {'dtype': 'float16'}


def test_numbers_and_booleans_can_be_numpys(server, client):
    client.encode(['a'], dimensions=np.int64(3), normalize=np.bool_(True))
    assert options_of(server.requests[0]) == {'dimensions': 3, 'normalize': True}


def test_a_prompt_can_be_utf_8_on_python_2(server, client):
    client.encode(['a'], prompt='für: ')
    assert options_of(server.requests[0]) == {'prompt': b'f\xc3\xbcr: '.decode('utf-8')}


@pytest.mark.parametrize('value', [np.int8, np.uint8, np.float16], ids=repr)
@pytest.mark.parametrize('output_fmt', ['ndarray', 'list'])
def test_an_answer_has_the_type_that_came(server, connect, value, output_fmt):
    array = np.arange(6).reshape(2, 3).astype(value)
    server.script = lambda request: [server.result(request, array)]
    answer = connect(server, output_fmt=output_fmt).encode(['a', 'b'], dtype='int8')
    if output_fmt == 'ndarray':
        assert answer.dtype == value
        answer = answer.tolist()
    assert answer == array.tolist()


@pytest.mark.parametrize('truncate', ['right', 'left', 'error'])
def test_who_says_how_to_truncate_is_not_warned_of_it(make_server, connect, truncate):
    client = connect(make_server(extensions=EXTENSIONS, max_seq_len=5))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        client.encode(['a ' * 20], truncate=truncate)
        with pytest.raises(UserWarning, match='more words'):
            client.encode(['a ' * 20])


# ---- what is refused here


@pytest.mark.parametrize(
    ('keywords', 'error', 'says'),
    [
        ({'prompt': 1}, TypeError, '"prompt" must be a string'),
        ({'prompt_name': 1}, TypeError, '"prompt_name" must be a string'),
        ({'prompt': 'a', 'prompt_name': 'b'}, TypeError, 'mutually exclusive'),
        ({'normalize': 1}, TypeError, '"normalize" must be True, False or None'),
        ({'dimensions': 1.0}, TypeError, '"dimensions" must be an int'),
        ({'dimensions': True}, TypeError, '"dimensions" must be an int'),
        ({'dimensions': 0}, ValueError, '"dimensions" must be at least 1'),
        ({'dtype': 'float64'}, ValueError, '"dtype" must be one of float32, float16, int8, binary, ubinary'),
        ({'dtype': np.int32}, ValueError, '"dtype" must be one of'),
        ({'dtype': 'nonsense'}, ValueError, '"dtype" must be one of'),
        ({'truncate': 'middle'}, ValueError, '"truncate" must be one of right, left, error'),
        ({'truncate': True}, ValueError, '"truncate" must be one of'),
    ],
    ids=repr,
)
def test_a_value_that_an_option_cannot_have_is_refused_here(server, client, keywords, error, says):
    for call in (client.encode, client.encode_with_details):
        with pytest.raises(error, match=says):
            call(['a'], **keywords)
    with pytest.raises(error, match=says):
        client.encode_async([['a']], **keywords)
    assert not server.requests


@pytest.mark.parametrize('prompt', [{'prompt': 'a: '}, {'prompt': ''}, {'prompt_name': 'query'}], ids=repr)
def test_a_prompt_goes_with_texts_only(server, client, prompt):
    calls = [
        lambda: client.encode([['a']], is_tokenized=True, **prompt),
        lambda: client.encode_with_details([['a']], is_tokenized=True, **prompt),
        lambda: client.encode_with_details([[1]], token_ids=True, **prompt),
        lambda: client.encode_async([[['a']]], is_tokenized=True, **prompt),
    ]
    for call in calls:
        with pytest.raises(TypeError, match='needs texts'):
            call()
    assert not server.requests


def test_the_error_of_an_unknown_prompt_is_the_servers(server, client):
    says = 'prompt_name: the model has no prompt %r: the known ones are document, query' % 'nix'
    server.script = lambda request: [server.error(request, 'BadRequest', says)]
    with pytest.raises(ServerError, match='the known ones are document, query'):
        client.encode(['a'], prompt_name='nix')


# ---- encode_query, encode_document


@pytest.mark.parametrize(
    ('prompts', 'query', 'document'),
    [
        (PROMPTS, {'prompt_name': 'query'}, {'prompt_name': 'document'}),
        ({'query': 'q', 'passage': 'p'}, {'prompt_name': 'query'}, {'prompt_name': 'passage'}),
        ({'corpus': 'c'}, {'prompt': ''}, {'prompt_name': 'corpus'}),
        ({'other': 'o'}, {'prompt': ''}, {'prompt': ''}),
        ({}, {'prompt': ''}, {'prompt': ''}),
        (None, {'prompt': ''}, {'prompt': ''}),
    ],
)
def test_queries_and_documents_have_the_prompt_of_their_name_or_none(make_server, connect, prompts, query, document):
    server = make_server(extensions=EXTENSIONS, model={'prompts': prompts})
    client = connect(server)
    np.testing.assert_array_equal(client.encode_query(['a']), vectors(['a']))
    np.testing.assert_array_equal(client.encode_document(['b'], normalize=True, dtype='int8'), vectors(['b']))
    assert options_of(server.requests[0]) == query
    assert options_of(server.requests[1]) == dict(document, normalize=True, dtype='int8')


def test_after_a_restart_the_prompts_are_those_of_the_new_model(server, client):
    client.encode_query(['a'])
    server.stop()
    server.config['model'] = {'prompts': {}}
    server.start()
    client.encode(['a'])  # by now the client knows that there is another server
    client.encode_query(['a'])
    assert [options_of(request) for request in server.requests] == [{'prompt_name': 'query'}, None, {'prompt': ''}]


# ---- predict, rerank


AWKWARD = [
    ('a', 'b ||| c'),
    ('line\nbreak', 'x'),
    ('', 'empty left'),
    ('empty right', ''),
    ('|||', ' ||| '),
    (b'\xc3\xa9'.decode('utf-8'), 'e'),
]


@pytest.mark.parametrize('kind', [tuple, list, np.array], ids=['tuples', 'lists', 'arrays'])
def test_pairs_go_as_two_texts_each_and_are_never_joined(ranker, connect, kind):
    scores = connect(ranker).predict([kind(pair) for pair in AWKWARD])
    assert ranker.requests[0].texts == [list(pair) for pair in AWKWARD]
    assert options_of(ranker.requests[0]) == {'pairs': True, 'raw': False}
    assert scores.dtype == np.float32
    assert scores.tolist() == [len(second) for _, second in AWKWARD]


def test_pairs_can_be_rows_of_an_array(ranker, connect):
    assert connect(ranker).predict(np.array([['a', 'bb'], ['c', 'd']])).tolist() == [2, 1]


def test_texts_to_predict_are_single_whatever_they_contain(ranker, connect):
    assert connect(ranker).predict(['a ||| b', 'c']).tolist() == [7, 1]
    assert options_of(ranker.requests[0]) == {'pairs': False, 'raw': False}


def test_raw_scores_and_truncation_are_asked_for(ranker, connect):
    connect(ranker).predict([('a', 'b')], raw=True, truncate='error')
    assert options_of(ranker.requests[0]) == {'pairs': True, 'raw': True, 'truncate': 'error'}


def test_several_labels_are_columns(ranker, connect):
    with_scores(ranker, labels=3)
    assert connect(ranker).predict([('a', 'b'), ('a', 'bb')]).tolist() == [[1, 2, 3], [2, 3, 4]]
    assert connect(ranker, output_fmt='list').predict([('a', 'b')]).shape == (1, 3)


def test_many_pairs_go_in_several_requests(ranker, connect, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 4)
    pairs = [('q', 'x' * row) for row in range(11)]
    assert connect(ranker).predict(pairs).tolist() == list(range(11))
    assert sum([request.texts for request in ranker.requests], []) == [list(pair) for pair in pairs]
    assert len(ranker.requests) > 2


@pytest.mark.parametrize(
    ('pairs', 'error', 'says'),
    [
        ([], ValueError, 'must not be empty'),
        ('ab', TypeError, 'must be a list'),
        (7, TypeError, 'must be a list'),
        ([('a', 'b', 'c')], ValueError, 'element 0 .* must have two texts, but has 3'),
        ([('a', 'b'), ('c',)], ValueError, 'element 1 .* must have two texts, but has 1'),
        ([('a', 'b'), 'cd'], TypeError, 'element 1 .* must be a list of two strings'),
        ([('a', 'b'), ('c', 7)], TypeError, 'text 1 of element 1'),
        ([('a', 'b'), None], TypeError, 'element 1'),
        (['a', ('b', 'c')], TypeError, 'element 1'),
        (['a', ' '], ValueError, 'must not be blank'),
    ],
    ids=repr,
)
def test_what_are_no_pairs_is_refused_here(ranker, connect, pairs, error, says):
    with pytest.raises(error, match=says):
        connect(ranker).predict(pairs)
    assert not ranker.requests


def test_documents_are_ranked_best_first_and_equal_ones_in_their_order(ranker, connect):
    client = connect(ranker)
    documents = ['bb', 'a', 'cc', '', 'dddd', 'ee']
    ranking = client.rerank('q', documents)
    assert ranking == [(4, 4.0), (0, 2.0), (2, 2.0), (5, 2.0), (1, 1.0), (3, 0.0)]
    assert all(type(index) is int and type(score) is float for index, score in ranking)
    assert ranker.requests[0].texts == [['q', document] for document in documents]
    assert client.rerank('q', documents, top_n=2) == ranking[:2]
    assert client.rerank('q', documents, top_n=99) == ranking
    assert client.rerank('q', np.array(documents), raw=True, truncate='left') == ranking
    assert options_of(ranker.requests[-1]) == {'pairs': True, 'raw': True, 'truncate': 'left'}


@pytest.mark.parametrize(
    ('arguments', 'error', 'says'),
    [
        ((7, ['a']), TypeError, '"query" must be a string'),
        (('q', 'a'), TypeError, '"documents" must be a list'),
        (('q', []), ValueError, '"documents" must not be empty'),
        (('q', ['a', 7]), TypeError, 'element 1 of "documents" must be a string'),
        (('q', ['a'], 0), ValueError, '"top_n" must be an int of at least 1'),
        (('q', ['a'], 1.5), ValueError, '"top_n" must be an int of at least 1'),
        (('q', ['a'], True), ValueError, '"top_n" must be an int of at least 1'),
    ],
    ids=repr,
)
def test_what_cannot_be_ranked_is_refused_here(ranker, connect, arguments, error, says):
    with pytest.raises(error, match=says):
        connect(ranker).rerank(*arguments)
    assert not ranker.requests


def test_several_labels_cannot_rank(ranker, connect):
    with_scores(ranker, labels=3)
    with pytest.raises(ValueError, match='3 scores .* use "predict"'):
        connect(ranker).rerank('q', ['a', 'b'])


# ---- model


def test_the_model_is_described_by_the_server(server, client):
    assert client.model == {'name': 'tiny', 'task': 'embed', 'prompts': PROMPTS}


# ---- the pool


def test_a_pool_has_the_same_methods(server, ranker, connect):
    pool = connect(server, kind=ConcurrentBertClient, max_concurrency=2)
    np.testing.assert_array_equal(pool.encode(['a'], prompt='p'), vectors(['a']))
    np.testing.assert_array_equal(pool.encode_query(['a']), vectors(['a']))
    np.testing.assert_array_equal(pool.encode_document(['a'], dtype='int8'), vectors(['a']))
    pool.encode_with_details(['a'], truncate='left')
    sent = [options_of(request) for request in server.requests]
    assert sent == [
        {'prompt': 'p'},
        {'prompt_name': 'query'},
        {'prompt_name': 'document', 'dtype': 'int8'},
        {'token_counts': True, 'truncate': 'left'},
    ]
    assert pool.model['name'] == 'tiny'
    pool = connect(ranker, kind=ConcurrentBertClient, max_concurrency=2)
    assert pool.predict([('a', 'bb')]).tolist() == [2]
    assert pool.rerank('q', ['a', 'bb'], top_n=1) == [(1, 2.0)]


# ---- servers that know less


CALLS = {
    'prompt': lambda client: client.encode(['a'], prompt='p'),
    'prompt_name': lambda client: client.encode(['a'], prompt_name='query'),
    'normalize': lambda client: client.encode(['a'], normalize=False),
    'dimensions': lambda client: client.encode(['a'], dimensions=3),
    'dtype': lambda client: client.encode(['a'], dtype='float32'),
    'truncate': lambda client: client.encode(['a'], truncate='right'),
    'later': lambda client: client.encode(['a'], blocking=False, dtype='int8'),
    'async': lambda client: list(client.encode_async([['a']], dtype='int8')),
    'details': lambda client: client.encode_with_details(['a'], dtype='int8'),
    'joined': lambda client: client.encode_with_details(['a'], joined_pairs=False),
    'query': lambda client: client.encode_query(['a']),
    'document': lambda client: client.encode_document(['a']),
    'predict': lambda client: client.predict([('a', 'b')]),
    'rerank': lambda client: client.rerank('a', ['b']),
    'model': lambda client: client.model,
}


@pytest.mark.parametrize('config', [{}, {'extensions': []}, {'extensions': FIRST_EXTENSIONS}], ids=repr)
@pytest.mark.parametrize('call', sorted(CALLS))
def test_a_server_that_does_not_advertise_an_option_never_sees_it(make_server, connect, call, config):
    server = make_server(**config)
    client = connect(server)
    with pytest.raises(UnsupportedError):
        CALLS[call](client)
    assert not server.requests
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    client.encode(['b'], blocking=False)
    assert [array.tolist() for array in client.fetch_all()] == [vectors(['b']).tolist()]
    assert [len(request.frames) for request in server.requests] == [4, 4]


def replace_by_an_older_one(server):
    server.stop()
    server.config['extensions'] = FIRST_EXTENSIONS
    server.script = server.answer
    server.start()


@pytest.mark.parametrize('kind', [BertClient, ConcurrentBertClient], ids=['client', 'pool'])
def test_a_waiting_call_ends_when_an_older_server_takes_over(server, connect, kind):
    client = connect(server, kind=kind)
    server.hold()
    errors = []

    def ask():
        try:
            client.encode(['a'], dtype='int8')
        except UnsupportedError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for(1)
    replace_by_an_older_one(server)
    thread.join(20)
    assert len(errors) == 1
    assert len(server.requests) == 1
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


@pytest.mark.parametrize(
    'collect', [lambda client: list(client.fetch()), lambda client: client.fetch_all()], ids=['fetch', 'fetch_all']
)
def test_what_an_older_server_cannot_answer_is_told_once_and_the_rest_is_answered(server, client, collect):
    server.hold()
    client.encode(['a'], blocking=False, dtype='int8')
    client.encode(['b'], blocking=False)
    server.wait_for(2)
    replace_by_an_older_one(server)
    with pytest.raises(UnsupportedError, match='dtype'):
        collect(client)
    (answer,) = collect(client)
    assert np.asarray(getattr(answer, 'embedding', answer)).tolist() == vectors(['b']).tolist()
    assert [len(request.frames) for request in server.requests] == [5, 4, 4]
    client.encode(['c'], blocking=False)
    assert len(collect(client)) == 1


def test_a_stream_ends_when_an_older_server_takes_over(server, client):
    server.script = lambda request: server.answer(server.requests[0]) if request.texts == ['1'] else []
    stream = client.encode_async(([str(number)] for number in range(100)), dtype='int8')
    next(stream)  # answered only now that another request is on its way: a stream sends nothing between two results
    replace_by_an_older_one(server)
    with pytest.raises(UnsupportedError, match='dtype'):
        list(stream)
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


def test_after_a_restart_a_request_is_sent_again_with_its_options(server, client):
    server.hold()
    client.encode(['a'], blocking=False, dtype='int8', prompt='p')
    server.wait_for(1)
    server.stop()
    server.script = server.answer
    server.start()
    assert len(client.fetch_all()) == 1
    assert [options_of(request) for request in server.requests] == [{'dtype': 'int8', 'prompt': 'p'}] * 2
