"""What a caller may ask of a server, option by option, with published folders: an encoder and a cross-encoder.

test_published_answers.py shows that the numbers are those of sentence-transformers, and tests/unit/test_postprocess.py
that the sign bits are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient, ServerError
from support.serving import DATA, serve

MODELS = DATA / 'published' / 'models'
QUERY = 'Represent this sentence for searching relevant passages: '
TEXTS = ['First do it', 'then do it right', 'a question ||| and its answer', 'Der Fuchs springt.']
LONG = ' '.join('word%d' % number for number in range(60))


@pytest.fixture(scope='module')
def client() -> Iterator[BertClient]:
    """A client of a model that normalizes, and that puts a prompt before texts unless it is asked for another."""
    yield from connected('bert-cls-default-prompt')


@pytest.fixture(scope='module')
def ranker() -> Iterator[BertClient]:
    """A client of a cross-encoder with one label and a sigmoid."""
    yield from connected('ce-bert-one')


def connected(model: str) -> Iterator[BertClient]:
    with (
        serve('-model_dir', str(MODELS / model)) as server,
        BertClient(port=server.port, port_out=server.port_out, timeout=60_000, check_length=False) as client,
    ):
        yield client


def near(answer: Any, expected: Any) -> None:
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=2e-5)


def differ(answer: Any, other: Any) -> None:
    assert np.abs(np.asarray(answer) - np.asarray(other)).max() > 1e-2


# ---- encode, encode_async, encode_with_details


def test_prompt_name_and_prompt(client: BertClient) -> None:
    bare = client.encode(TEXTS, prompt='')
    plain = client.encode(TEXTS)
    differ(plain, bare)
    near(client.encode(TEXTS, prompt_name='query'), plain)
    near(client.encode(TEXTS, prompt=QUERY), plain)
    near(client.encode([QUERY + text for text in TEXTS], prompt=''), plain)
    near(client.encode(TEXTS, prompt_name='document'), bare)
    near(client.encode_with_details(TEXTS, prompt='').array, bare)
    (response,) = client.encode_async([TEXTS], prompt='')
    near(response.embedding, bare)
    client.encode(TEXTS, blocking=False, prompt='')
    near(client.fetch_all(concat=True), bare)


def test_an_unknown_prompt_name_is_an_error_that_lists_the_known_ones(client: BertClient) -> None:
    with pytest.raises(ServerError, match="no prompt 'passage': the known ones are document, query"):
        client.encode(TEXTS, prompt_name='passage')


def test_a_prompt_before_tokens_or_ids_is_an_error(client: BertClient) -> None:
    with pytest.raises(TypeError, match='needs texts'):
        client.encode([['first', 'do']], is_tokenized=True, prompt_name='query')
    with pytest.raises(TypeError, match='needs texts'):
        client.encode_with_details([[5, 6]], token_ids=True, prompt='a')


def test_normalize(client: BertClient) -> None:
    plain, scaled, pooled = (client.encode(TEXTS, normalize=value) for value in (None, True, False))
    near(scaled, plain)
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    assert (np.abs(lengths - 1) > 0.1).all()
    near(pooled / lengths, plain)


def test_dimensions(client: BertClient) -> None:
    plain, pooled = client.encode(TEXTS), client.encode(TEXTS, normalize=False)
    near(client.encode(TEXTS, dimensions=8), plain[:, :8])
    near(client.encode(TEXTS, dimensions=8, normalize=False), pooled[:, :8])
    short = client.encode(TEXTS, dimensions=8, normalize=True)
    near(short, plain[:, :8] / np.linalg.norm(plain[:, :8], axis=1, keepdims=True))
    near(client.encode(TEXTS, dimensions=plain.shape[1]), plain)
    with pytest.raises(ServerError, match='dimensions: expected at most %d' % plain.shape[1]):
        client.encode(TEXTS, dimensions=plain.shape[1] + 1)


def test_dtype(client: BertClient) -> None:
    plain, pooled = client.encode(TEXTS), client.encode(TEXTS, normalize=False)
    expected: dict[Any, Any] = {
        'float32': plain,
        'float16': plain.astype(np.float16),
        'int8': np.rint(127 * plain).astype(np.int8),
        'binary': (np.packbits(plain > 0, axis=1).astype(np.int16) - 128).astype(np.int8),
        'ubinary': np.packbits(plain > 0, axis=1),
    }
    for dtype, vectors in expected.items():
        answer = client.encode(TEXTS, dtype=dtype)
        assert (answer.dtype, answer.shape) == (vectors.dtype, vectors.shape)
        tolerance = {'float16': 1e-3, 'int8': 1}.get(dtype, 1e-5)  # of int8, where it rounds a number near a half
        np.testing.assert_allclose(answer.astype(np.float32), vectors.astype(np.float32), rtol=0, atol=tolerance)
    near(client.encode(TEXTS, dtype='int8', normalize=False), client.encode(TEXTS, dtype='int8'))
    near(client.encode(TEXTS, dtype='float32', normalize=False), pooled)
    short = client.encode(TEXTS, dtype='ubinary', dimensions=12)
    np.testing.assert_array_equal(short, np.packbits(plain[:, :12] > 0, axis=1))


def test_truncate(client: BertClient) -> None:
    words = LONG.split()
    right, left = client.encode([LONG], truncate='right', prompt=''), client.encode([LONG], truncate='left', prompt='')
    near(client.encode([LONG], prompt=''), right)
    near(client.encode([' '.join(words[:40])], prompt=''), right)
    near(client.encode([' '.join(words[20:])], truncate='left', prompt=''), left)
    differ(right, left)
    near(client.encode(TEXTS, truncate='error', prompt=''), client.encode(TEXTS, prompt=''))
    with pytest.raises(
        ServerError, match=r'element 1 has \d{2,} tokens.* the limit is %d:' % client.model['max_seq_len']
    ):
        client.encode([TEXTS[0], LONG], truncate='error', prompt='')


def test_encode_query_and_encode_document(client: BertClient) -> None:
    near(client.encode_query(TEXTS), client.encode(TEXTS, prompt_name='query'))
    near(client.encode_document(TEXTS), client.encode(TEXTS, prompt=''))
    near(client.encode_query(TEXTS, normalize=False, dimensions=4), client.encode(TEXTS, normalize=False, dimensions=4))


def test_a_caller_can_say_that_texts_are_not_pairs(client: BertClient) -> None:
    pair = client.encode_with_details(TEXTS[2:3], prompt='')
    text = client.encode_with_details(TEXTS[2:3], prompt='', joined_pairs=False)
    near(pair.array, client.encode(TEXTS[2:3], prompt=''))
    differ(pair.array, text.array)
    assert text.token_counts[0] > pair.token_counts[0]  # [SEP] was in place of the bars


def test_requests_that_differ_in_their_options_share_batches(client: BertClient) -> None:
    asked: list[dict[str, Any]] = [
        {},
        {'prompt': ''},
        {'normalize': False},
        {'dimensions': 8},
        {'dtype': 'int8'},
        {'dtype': 'ubinary', 'prompt': ''},
        {'truncate': 'left'},
        {'prompt_name': 'document', 'dimensions': 3, 'normalize': True, 'dtype': 'float16'},
    ]
    alone = [client.encode(TEXTS, **options) for options in asked]
    for options in asked * 4:
        client.encode(TEXTS, blocking=False, **options)
    for number, answer in enumerate(client.fetch_all() or []):
        expected = alone[number % len(asked)]
        assert answer.dtype == expected.dtype
        atol = 1 if answer.dtype == np.int8 else 1e-3 if answer.dtype == np.float16 else 2e-5
        np.testing.assert_allclose(answer.astype(np.float32), expected.astype(np.float32), rtol=1e-4, atol=atol)


# ---- predict, rerank, model


def test_predict(ranker: BertClient) -> None:
    pairs = [('a question', 'and its answer'), ('a ||| b', 'c\nd'), ('', 'x'), ('x', ''), ('|||', ' ||| ')]
    scores, logits = ranker.predict(pairs), ranker.predict(pairs, raw=True)
    assert scores.shape == (5,)
    near(scores, 1 / (1 + np.exp(-logits)))
    near(ranker.encode(['a question ||| and its answer'])[0], scores[:1])
    differ(ranker.predict(['a ||| b'], raw=True), ranker.predict([('a', 'b')], raw=True))
    with pytest.raises(ServerError, match='element 1 has'):
        ranker.predict([('a', 'b'), (LONG, LONG)], truncate='error')


def test_rerank(ranker: BertClient) -> None:
    documents = ['and its answer', 'something else', 'a ||| b', 'line\nbreak', '', 'something else']
    ranking = ranker.rerank('a question', documents)
    scores = ranker.predict([('a question', document) for document in documents])
    assert [index for index, _ in ranking] == np.argsort(-scores, kind='stable').tolist()
    assert [score for _, score in ranking] == sorted(scores.tolist(), reverse=True)
    order = [index for index, _ in ranking]
    assert order.index(1) + 1 == order.index(5)  # they are equal
    assert ranker.rerank('a question', documents, top_n=2) == ranking[:2]
    raw = ranker.rerank('a question', documents, raw=True)
    assert [index for index, _ in raw] == order
    near(1 / (1 + np.exp([-score for _, score in raw])), [score for _, score in ranking])


def test_an_encoder_has_no_scores_and_a_cross_encoder_no_vectors(client: BertClient, ranker: BertClient) -> None:
    for call in (lambda: client.predict([('a', 'b')]), lambda: client.rerank('a', ['b'])):
        with pytest.raises(ServerError, match='serve a cross-encoder or a classifier'):
            call()
    asked: list[dict[str, Any]] = [{'normalize': True}, {'dimensions': 1}, {'dtype': 'int8'}]
    for options in asked:
        with pytest.raises(ServerError, match='only works for vectors'):
            ranker.encode(['a'], **options)


def test_model(client: BertClient, ranker: BertClient) -> None:
    model = client.model
    assert re.fullmatch('[0-9a-f]{64}', model.pop('digest'))
    assert model == {
        'name': 'bert-cls-default-prompt',
        'model_type': 'bert',
        'task': 'embed',
        'dimensions': client.encode(['a']).shape[1],
        'max_seq_len': 32,
        'pooling': 'FIRST_TOKEN',
        'normalize': True,
        'prompts': {'document': '', 'query': QUERY},
        'default_prompt_name': 'query',
        'labels': None,
        'similarity': 'cosine',
    }
    assert client.server_config['model'] == client.model
    model = ranker.model
    assert (model['task'], model['dimensions'], model['labels']) == ('rerank', 1, ['LABEL_0'])
