"""Graphs whose word embeddings are in a file next to them: the same answers, and no file without the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bert_serving.server.errors import ModelError, StartError
from bert_serving.server.graph import checkpoint, spec
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.graph.files import words_path
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.graph.tf import tf1
from bert_serving.server.model.folder import Model
from bert_serving.server.model.pooling import PoolingStrategy
from graph import reference
from graph.reference import CONFIG


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    variables = reference.random_variables()
    stored = reference.huggingface_names(variables)
    return {
        'google': reference.google_model(folder / 'google', variables),
        'huggingface': reference.huggingface_model(folder / 'hf', stored),
    }


@pytest.fixture
def apart(monkeypatch):
    """Any table is worth its own file, and is read and written in many parts."""
    monkeypatch.setattr(spec, 'LEAST_APART', 0)
    monkeypatch.setattr(checkpoint, '_PART_BYTES', 500)


@pytest.mark.parametrize('kind', ['google', 'huggingface'])
@pytest.mark.parametrize('bf16', [False, True])
def test_answers_are_equal_to_the_bit(kind, bf16, models, tmp_path, monkeypatch):
    whole = GraphSpec(models[kind], (3, 1), on_cpu=True, bf16=bf16)
    export(whole, str(tmp_path / 'whole'))
    monkeypatch.setattr(spec, 'LEAST_APART', 0)
    monkeypatch.setattr(checkpoint, '_PART_BYTES', 500)
    info = export(whole, str(tmp_path / 'apart'))
    assert info.bytes == sum((tmp_path / name).stat().st_size for name in ('apart', 'apart.words'))
    assert (tmp_path / 'apart.words').stat().st_size == 37 * 21 * (2 if bf16 else 4)
    graph = tf1.GraphDef()
    graph.ParseFromString((tmp_path / 'apart').read_bytes())
    assert 'embeddings/word_embeddings' not in {node.name for node in graph.node}
    with (
        GraphEncoder(str(tmp_path / 'whole'), threads=1) as one,
        GraphEncoder(str(tmp_path / 'apart'), threads=1) as other,
    ):
        for rows, tokens in ((1, 1), (2, 3), (13, 11)):
            inputs = reference.random_inputs(rows, tokens)
            np.testing.assert_array_equal(one.encode(*inputs), other.encode(*inputs))


@pytest.mark.parametrize('options', [{'xla': True}, {}])
def test_graph_for_other_devices_has_them_apart_only_if_it_would_be_too_large(options, models, tmp_path, monkeypatch):
    plain = GraphSpec(models['google'], (3,), PoolingStrategy.NONE)
    assert not plain.has_words_apart
    export(plain, str(tmp_path / 'whole'))
    without = sum(int(np.prod(shape)) for name, shape in plain.variable_shapes().items() if name != checkpoint.WORDS)
    monkeypatch.setattr(spec, 'LARGEST_WEIGHTS', 4 * without)
    assert plain.has_words_apart
    export(plain, str(tmp_path / 'apart'))
    inputs = reference.random_inputs(3, 5)
    with (
        GraphEncoder(str(tmp_path / 'whole'), threads=1) as one,
        GraphEncoder(str(tmp_path / 'apart'), threads=1, **options) as other,
    ):
        np.testing.assert_allclose(one.encode(*inputs), other.encode(*inputs), rtol=1e-4, atol=2e-5)


def test_float16_words_are_clipped(models, tmp_path, apart, monkeypatch):
    monkeypatch.setattr(spec, 'LARGEST_WEIGHTS', 0)
    variables = {name: values * np.float32(1e6) for name, values in reference.random_variables().items()}
    model = reference.google_model(tmp_path / 'huge', variables)
    large = GraphSpec(model, (3,), fp16=True, on_gpu=True)
    assert large.has_words_apart
    monkeypatch.setattr('bert_serving.server.graph.export.LARGEST_WEIGHTS', 2**30)
    export(large, str(tmp_path / 'graph'))
    assert np.isfinite(np.fromfile(tmp_path / 'graph.words', np.float16)).all()
    with GraphEncoder(str(tmp_path / 'graph'), threads=1) as encoder:
        assert np.isfinite(encoder.encode(*reference.random_inputs())).all()


def test_progress_of_the_words_is_told(models, tmp_path, apart):
    told = {}
    export(
        GraphSpec(models['google'], (3,), on_cpu=True),
        str(tmp_path / 'graph'),
        on_progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    assert list(told) == [
        'read the weights',
        'build the graph',
        'write the word embeddings',
        'freeze the graph',
        'write the graph',
    ]
    for stage in set(told) - {'freeze the graph'}:
        assert told[stage] == sorted(told[stage])
        assert told[stage][-1][0] == told[stage][-1][1], stage


def test_words_that_are_not_finite_are_named_and_nothing_is_left(tmp_path, apart):
    variables = reference.random_variables()
    variables['embeddings/word_embeddings'][31, 5] = np.nan
    model = reference.google_model(tmp_path / 'model', variables)
    with pytest.raises(ModelError, match=r'bert/embeddings/word_embeddings has values that are not finite \(NaN\)'):
        export(GraphSpec(model, (1,), on_cpu=True), str(tmp_path / 'graph'))
    assert [path.name for path in tmp_path.iterdir()] == ['model']


def test_words_are_removed_if_the_graph_cannot_be_written(models, tmp_path, apart):
    (tmp_path / 'graph').mkdir()
    with pytest.raises(StartError):
        export(GraphSpec(models['google'], (1,), on_cpu=True), str(tmp_path / 'graph'))
    assert [path.name for path in tmp_path.iterdir()] == ['graph']


def test_words_that_are_gone_are_named(models, tmp_path, apart):
    path = export(GraphSpec(models['google'], (1,), on_cpu=True), str(tmp_path / 'graph')).path
    (tmp_path / 'graph.words').unlink()
    with pytest.raises(StartError, match=r'the word embeddings .*graph\.words cannot be read'):
        GraphEncoder(path, threads=1).load()
    assert words_path(path) == str(tmp_path / 'graph.words')


def test_size_without_the_words_counts():
    """XLM-R large has 2.2 GB in float32, but only 1.2 GB in its layers."""
    large = replace(
        CONFIG,
        vocab_size=250002,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=512,
    )
    model = Model('google', large, 'config', 'weights', 'vocab.txt')
    for on_cpu in (True, False):
        graph = GraphSpec(model, (23,), on_cpu=on_cpu)
        assert graph.has_words_apart
        assert 1.2e9 < graph.constant_bytes() < 1.3e9
