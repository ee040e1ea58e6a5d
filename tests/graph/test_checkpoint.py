"""Weights from every kind of file under the same names, and a ModelError with all the names when they do not fit."""

from __future__ import annotations

import json
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from bert_serving.server.errors import ModelError
from bert_serving.server.graph.checkpoint import load_variables, variable_shapes
from bert_serving.server.model.architectures import places, read_config
from bert_serving.server.model.folder import Model
from bert_serving.server.model.safetensors_file import read_tensors
from graph import reference
from graph.reference import CONFIG, PUBLISHED

ALL = variable_shapes(CONFIG, depth=4, pooler=True, num_labels=5)


@pytest.fixture(scope='module')
def variables():
    return reference.random_variables(num_labels=5)


def assert_same(loaded, expected):
    assert list(loaded) == list(ALL)
    for name, values in loaded.items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_shapes_of_a_whole_bert():
    assert len(ALL) == 5 + 4 * 16 + 2 + 2
    assert ALL['embeddings/word_embeddings'] == (37, 21)
    assert ALL['embeddings/position_embeddings'] == (11, 21)
    assert ALL['encoder/layer_3/intermediate/dense/kernel'] == (21, 13)
    assert ALL['encoder/layer_3/output/dense/kernel'] == (13, 21)
    assert ALL['output_weights'] == (5, 21)


def test_shapes_of_less():
    shapes = variable_shapes(CONFIG, depth=1, position_embeddings=False)
    assert len(shapes) == 4 + 16
    assert not [name for name in shapes if 'position' in name or 'layer_1' in name or 'output_' in name]


def test_google(tmp_path, variables):
    assert_same(load_variables(reference.google_model(tmp_path, variables), ALL), variables)


def test_google_without_its_scope(tmp_path, variables):
    model = reference.google_model(tmp_path, variables)
    reference.write_checkpoint(tmp_path / 'bert_model.ckpt', variables)
    assert_same(load_variables(model, ALL), variables)


def test_google_fine_tuned_leaves_what_the_optimizer_left(tmp_path, variables):
    model = reference.google_model(tmp_path, variables)
    stored = reference.google_names(variables)
    slots = {name + '/adam_m': np.zeros_like(values) for name, values in stored.items()}
    reference.write_checkpoint(tmp_path / 'bert_model.ckpt', {**stored, **slots, 'global_step': np.int64(343)})
    assert_same(load_variables(model, ALL), variables)


@pytest.mark.parametrize('prefix', ['', 'bert.'])
@pytest.mark.parametrize('early_layer_norm', [False, True])
def test_huggingface(tmp_path, variables, prefix, early_layer_norm):
    stored = reference.huggingface_names(variables, prefix, early_layer_norm)
    stored[prefix + 'embeddings.position_ids'] = np.arange(11)[None]
    stored['cls.predictions.bias'] = np.zeros(37, np.float32)
    assert_same(load_variables(reference.huggingface_model(tmp_path, stored), ALL), variables)


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_are_cast(tmp_path, variables, dtype):
    stored = {name: values.astype(dtype) for name, values in reference.huggingface_names(variables).items()}
    model = reference.huggingface_model(tmp_path / 'hf', stored)
    expected = {name: values.astype(dtype).astype(np.float32) for name, values in variables.items()}
    assert_same(load_variables(model, ALL), expected)
    google = reference.google_model(tmp_path / 'g', {name: values.astype(dtype) for name, values in variables.items()})
    assert_same(load_variables(google, ALL), expected)


def test_quantized_weights_are_refused(tmp_path, variables):
    stored = reference.huggingface_names(variables)
    stored['pooler.dense.weight'] = np.zeros((21, 21), np.int8)
    with pytest.raises(ModelError, match=r'pooler\.dense\.weight holds int8, not floating-point weights'):
        load_variables(reference.huggingface_model(tmp_path, stored), ALL)


def test_missing_variables_are_all_named_as_the_file_would_call_them(tmp_path, variables):
    kept = dict(variables)
    for name in ('pooler/dense/bias', 'encoder/layer_3/output/dense/kernel', 'output_bias'):
        del kept[name]
    model = reference.google_model(tmp_path / 'google', kept)
    with pytest.raises(ModelError) as error:
        load_variables(model, ALL)
    assert model.weights in str(error.value)
    for name in ('bert/pooler/dense/bias', 'bert/encoder/layer_3/output/dense/kernel', 'output_bias'):
        assert name in str(error.value)
    model = reference.huggingface_model(tmp_path / 'hf', reference.huggingface_names(kept))
    with pytest.raises(ModelError) as error:
        load_variables(model, ALL)
    for name in ('bert.pooler.dense.bias', 'bert.encoder.layer.3.output.dense.weight', 'classifier.bias'):
        assert name in str(error.value)


def test_missing_variables_that_are_not_needed_do_not_matter(tmp_path, variables):
    kept = {name: values for name, values in variables.items() if 'layer_3' not in name and 'pooler' not in name}
    shapes = variable_shapes(CONFIG, depth=3)
    assert list(load_variables(reference.google_model(tmp_path, kept), shapes)) == list(shapes)


def test_very_long_list_is_cut(tmp_path):
    model = reference.google_model(tmp_path, {'global_step': np.float32(1)})
    with pytest.raises(ModelError, match=r'and 49 more$') as error:
        load_variables(model, ALL)
    assert len(error.value.message) < 2000


@pytest.mark.parametrize('kind', ['google', 'huggingface'])
def test_shapes_that_do_not_fit_are_all_named(tmp_path, variables, kind):
    if kind == 'google':
        model = reference.google_model(tmp_path, variables)
        kernel, got, expected = 'bert/encoder/layer_0/intermediate/dense/kernel', '[21, 13]', '[21, 14]'
    else:
        model = reference.huggingface_model(tmp_path, reference.huggingface_names(variables))
        kernel, got, expected = 'encoder.layer.0.intermediate.dense.weight', '[13, 21]', '[14, 21]'
    wrong = replace(CONFIG, intermediate_size=14)
    with pytest.raises(ModelError) as error:
        load_variables(model, variable_shapes(wrong, depth=2))
    assert '%s is %s instead of %s' % (kernel, got, expected) in str(error.value)
    assert model.config_path in str(error.value)
    assert str(error.value).count(' instead of ') == 2 * 3


def test_number_of_labels_must_fit(tmp_path, variables):
    model = reference.google_model(tmp_path, variables)
    with pytest.raises(ModelError, match=r'output_weights is \[5, 21\] instead of \[2, 21\]'):
        load_variables(model, variable_shapes(CONFIG, depth=4, pooler=True, num_labels=2))


@pytest.mark.parametrize('kind', ['google', 'huggingface'])
@pytest.mark.parametrize('content', [b'', b'not weights at all' * 9])
def test_damaged_file(tmp_path, variables, kind, content):
    if kind == 'google':
        model = reference.google_model(tmp_path, variables)
        (tmp_path / 'bert_model.ckpt.index').write_bytes(content)
    else:
        model = reference.huggingface_model(tmp_path, reference.huggingface_names(variables))
        (tmp_path / 'model.safetensors').write_bytes(content)
    with pytest.raises(ModelError, match=r'cannot be read: .|is empty: .') as error:
        load_variables(model, ALL)
    assert model.weights in str(error.value)


@pytest.mark.parametrize('kind', ['google', 'huggingface'])
def test_truncated_file(tmp_path, variables, kind):
    if kind == 'google':
        model = reference.google_model(tmp_path, variables)
        data = next(tmp_path.glob('*.data-*'))
    else:
        model = reference.huggingface_model(tmp_path, reference.huggingface_names(variables))
        data = tmp_path / 'model.safetensors'
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r'cannot be read: .'):
        load_variables(model, ALL)


@pytest.mark.parametrize('kind', ['google', 'huggingface'])
@pytest.mark.parametrize(('value', 'called'), [(np.nan, 'NaN'), (np.inf, 'infinity'), (-np.inf, 'infinity')])
def test_weight_that_is_not_finite_is_named(tmp_path, variables, kind, value, called):
    variables = {**variables, 'encoder/layer_2/output/dense/kernel': np.full((13, 21), value, np.float32)}
    if kind == 'google':
        model, stored = reference.google_model(tmp_path, variables), 'bert/encoder/layer_2/output/dense/kernel'
    else:
        model = reference.huggingface_model(tmp_path, reference.huggingface_names(variables))
        stored = 'encoder.layer.2.output.dense.weight'
    with pytest.raises(ModelError) as error:
        load_variables(model, ALL)
    assert error.value.message.startswith(
        '%s: %s has values that are not finite (%s)' % (model.weights, stored, called)
    )


def test_weight_that_is_not_finite_and_not_needed_does_not_matter(tmp_path, variables):
    variables = {**variables, 'pooler/dense/bias': np.full(21, np.nan, np.float32)}
    model = reference.huggingface_model(tmp_path, reference.huggingface_names(variables))
    load_variables(model, variable_shapes(CONFIG, depth=4))


def test_shards(tmp_path, variables):
    """As transformers writes a model of more than a few gigabytes."""
    stored = reference.huggingface_names(variables)
    model = reference.huggingface_model(tmp_path, stored)
    names = sorted(stored)
    index = {}
    for number in range(3):
        file = 'model-%05d-of-00003.safetensors' % (number + 1)
        save_file({name: stored[name] for name in names[number::3]}, tmp_path / file)
        index.update(dict.fromkeys(names[number::3], file))
    path = tmp_path / 'model.safetensors.index.json'
    path.write_text(json.dumps({'metadata': {'total_size': 1}, 'weight_map': index}))
    assert_same(load_variables(replace(model, weights=str(path)), ALL), variables)


@pytest.mark.parametrize('folder', sorted(path.parent.name for path in PUBLISHED.glob('*/config.json')))
def test_all_weights_of_the_published_models_are_found(folder):
    """Under the names that people publish them by, and no others are left over but those of a pooler."""
    config = read_config(str(PUBLISHED / folder / 'config.json'))
    index = PUBLISHED / folder / 'model.safetensors.index.json'
    weights = index if index.exists() else PUBLISHED / folder / 'model.safetensors'
    labels = len(config.head.labels) if config.head else 0
    stored = read_tensors(str(weights))
    pooler = any('pooler' in name for name in stored) and config.has_pooler
    shapes = variable_shapes(config, depth=config.num_hidden_layers, pooler=pooler, num_labels=labels)
    model = Model('huggingface', config, 'config.json', str(weights), 'vocab.txt')
    variables = load_variables(model, shapes)
    assert {name: values.shape for name, values in variables.items()} == shapes
    used = {next(p.name for p in places(config.model_type, name) if p.name in stored) for name in shapes}
    assert used == set(stored)
