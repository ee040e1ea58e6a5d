"""The graphs of published models against the answers of sentence-transformers, by the ids that it made.

Only requests without a prompt have ids in the cases; whole servers are asked for the others.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bert_serving.server.graph import attention
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pooling import PoolingStrategy
from graph.reference import PUBLISHED
from support.engines import GRAPHS, open_graph

CLOSE: dict[str, Any] = {'rtol': 1e-4, 'atol': 2e-5}
# The answers of ModernBERT are themselves up to 2.6e-5 from the same in float64, where nothing averages over the
# tokens.
CLOSE_MODERNBERT: dict[str, Any] = {'rtol': 1e-4, 'atol': 4e-5}
CASES = PUBLISHED.parent / 'cases'
ENCODERS = sorted(path.stem for path in CASES.glob('*.json') if not path.stem.startswith('ce-'))
CROSS_ENCODERS = sorted(path.stem for path in CASES.glob('ce-*.json'))


def close(spec):
    return CLOSE_MODERNBERT if spec.model.config.model_type == 'modernbert' else CLOSE


@cache
def case(name):
    return json.loads((CASES / (name + '.json')).read_text()), np.load(CASES / (name + '.npz'))


def batch(rows, type_ids=None, pad_id=0):
    """The arrays of rows of ids; `type_ids` like them, or None."""
    shape = (len(rows), max(map(len, rows)))
    ids, mask, types = np.full(shape, pad_id, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
        if type_ids:
            types[index, : len(row)] = type_ids[index]
    return ids, mask, types


def spec_of(name, **options):
    model = find_model(str(PUBLISHED / name))
    config = model.config
    spec = GraphSpec(model, (config.num_hidden_layers - 1,), pipeline=model.pipeline, head=config.head, on_cpu=True)
    return replace(spec, **options)


def finished(spec, vectors):
    """The vectors as a worker finishes them."""
    if spec.pipeline and spec.pipeline.normalizes:
        return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return vectors


@pytest.fixture
def encoder(tmp_path):
    """A loaded graph of a spec."""
    opened = []

    def load(spec, **options):
        path = export(spec, str(tmp_path / ('graph-%d' % len(opened)))).path
        opened.append(open_graph(spec, path, **options))
        opened[-1].load()
        return opened[-1]

    yield load
    for each in opened:
        each.close()


@pytest.mark.parametrize('graph', GRAPHS)
@pytest.mark.parametrize('name', ENCODERS)
def test_vectors(name, graph, encoder):
    """All rows at once, and the first three alone, which are a batch of the small size class."""
    spec = spec_of(name, **graph)
    requests, answers = case(name)
    opened = encoder(spec)
    compared = 0
    for number, request in enumerate(requests['requests']):
        rows, kwargs = request['input_ids'], request['kwargs']
        if rows is None or set(kwargs) - {'truncate_dim'} or requests_default_prompt(spec):
            continue
        expected = answers['e%d' % number]
        for some in (rows, rows[:3]):
            vectors = finished(spec, opened.encode(*batch(some, pad_id=spec.model.config.pad_id)))
            vectors = vectors[:, : kwargs.get('truncate_dim')]
            np.testing.assert_allclose(vectors, expected[: len(some)], **CLOSE)
            compared += 1
    assert compared or requests_default_prompt(spec)


@pytest.mark.parametrize('graph', GRAPHS)
@pytest.mark.parametrize(
    ('name', 'modes'),
    [
        ('bert-lasttoken', ('lasttoken',)),
        ('bert-mean-norm', ('max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken')),
    ],
)
def test_rows_without_any_token_are_zeros_and_leave_the_others_alone(name, modes, graph, encoder):
    """As in sentence-transformers, except that its maximum is minus infinity."""
    spec = spec_of(name, **graph)
    pooling = replace(spec.pipeline.pooling, modes=modes)
    spec = replace(spec, pipeline=replace(spec.pipeline, pooling=pooling, modules=()))
    opened = encoder(spec)
    arrays = batch([[5, 6, 7], [], [8, 9]])
    vectors = opened.encode(*arrays)
    assert not vectors[1].any()
    others = [0, 2]
    np.testing.assert_allclose(vectors[others], opened.encode(*(array[others] for array in arrays)), **CLOSE)
    alone = np.zeros((1, 1), np.int32)
    assert not opened.encode(alone, alone, alone).any()


def requests_default_prompt(spec):
    return spec.pipeline.default_prompt_name is not None


@pytest.mark.parametrize('name', ENCODERS)
def test_states_of_tokens(name, encoder):
    """-pooling_strategy NONE: the states of the last layer, without the modules that come after pooling."""
    spec = spec_of(name, pipeline=None, strategy=PoolingStrategy.NONE)
    requests, answers = case(name)
    for number, request in enumerate(requests['requests']):
        if request['kwargs'] != {'output_value': 'token_embeddings'}:
            continue
        rows = request['input_ids']
        states = encoder(spec).encode(*batch(rows, pad_id=spec.model.config.pad_id))
        for index, row in enumerate(rows):
            expected = answers['e%d_%d' % (number, index)]
            np.testing.assert_allclose(states[index, : len(row)], expected, **close(spec))


@pytest.mark.parametrize('graph', GRAPHS)
@pytest.mark.parametrize('is_raw', [False, True])
@pytest.mark.parametrize('name', CROSS_ENCODERS)
def test_scores_of_pairs(name, is_raw, graph, encoder):
    spec = spec_of(name, is_raw=is_raw, **graph)
    about, answers = case(name)
    opened = encoder(spec)
    expected = answers['s%d' % is_raw].reshape(len(about['input_ids']), -1)
    for count in (len(about['input_ids']), 2):
        types = about['token_type_ids'] and about['token_type_ids'][:count]
        scores = opened.encode(*batch(about['input_ids'][:count], types, spec.model.config.pad_id))
        np.testing.assert_allclose(scores, expected[:count], **close(spec))
    assert spec.labels == len(about['id2label'])


@pytest.mark.parametrize('graph', GRAPHS)
@pytest.mark.parametrize(
    'name', ['bert-max', 'gte-ntk', 'modernbert-cls', 'modernbert-mean-prompts', 'nomic-bert-mean']
)
def test_rows_whose_attention_is_computed_in_chunks_have_the_same_vectors(name, graph, encoder, monkeypatch):
    """Chunks shorter than the window, longer than it, and the last one shorter than the others."""
    for chunk in (3, 10):
        monkeypatch.setattr(attention, 'LONG', 8)
        monkeypatch.setattr(attention, 'CHUNK', chunk)
        spec = spec_of(name, **graph)
        requests, answers = case(name)
        opened = encoder(spec)
        rows = requests['requests'][0]['input_ids']
        assert max(map(len, rows)) > 2 * chunk
        for some in (rows, rows[10:11], rows[-2:-1]):
            start = rows.index(some[0])
            vectors = finished(spec, opened.encode(*batch(some, pad_id=spec.model.config.pad_id)))
            np.testing.assert_allclose(vectors, answers['e0'][start : start + len(some)], **CLOSE)


def test_states_of_tokens_of_rows_whose_attention_is_computed_in_chunks(encoder, monkeypatch):
    monkeypatch.setattr(attention, 'LONG', 8)
    monkeypatch.setattr(attention, 'CHUNK', 5)
    test_states_of_tokens('modernbert-hub', encoder)


@pytest.mark.parametrize('name', ['mpnet-mean-norm', 'ce-deberta-v2', 'albert-mean'])
def test_bfloat16_is_close_to_float32(name, encoder):
    """On every processor; where it has no units for bfloat16, TensorFlow computes it in software."""
    spec = spec_of(name, is_raw=True)
    rows = case(name)[0].get('input_ids') or case(name)[0]['requests'][0]['input_ids']
    arrays = batch(rows, pad_id=spec.model.config.pad_id)
    exact, close = (encoder(replace(spec, bf16=bf16)).encode(*arrays) for bf16 in (False, True))
    if exact.shape[1] == 1:  # scores, whose direction says nothing
        exact, close = exact.T, close.T
    cosines = (exact * close).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(close, axis=1)
    assert cosines.min() >= 0.999, cosines
